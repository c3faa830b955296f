/* Counts how many events a second a proxy relays one by one. It is both ends of each stream, the client and the
 * provider, and lets the provider send an event only after the client has the one before: nothing can be relayed in
 * heaps, as it would be from a provider that sends faster than the proxy reads.
 *
 * Run: stepper PROVIDER_PORT PROXY_PORT STREAMS SECONDS AUTHORIZATION     prints events per second
 */
#include "replies.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 200, MAX_STREAMS = 256, MAX_SOCKETS = 4 * MAX_STREAMS, MAX_REQUEST_BYTES = 16384 };
static const double WARM_UP_S = 0.5;

struct stream {
    int client, provider;   /* sockets */
    int events_left;        /* that the provider has yet to send, the last ones apart */
    char tail[6];           /* of what the client received */
};

static struct stream streams[MAX_STREAMS];
static struct pollfd sockets[MAX_SOCKETS];   /* [0] listens, then the clients, then the provider's connections */
static char requests[MAX_SOCKETS][MAX_REQUEST_BYTES + 1];
static size_t request_bytes[MAX_SOCKETS];
static int in_use;
static struct bytes event, stream_end;
static int proxy_port;
static const char *authorization;

static void fail(const char *what) {
    fprintf(stderr, "stepper: %s\n", what);
    exit(1);
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* Replies here are far smaller than a socket's buffer, so a write is whole or the connection is broken. */
static void put(int socket, const char *data, size_t length, const char *whose) {
    if (send(socket, data, length, 0) != (ssize_t)length) fail(whose);
}

static void watch(int socket) {
    int on = 1;
    if (in_use == MAX_SOCKETS) fail("too many connections");
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockets[in_use++] = (struct pollfd){.fd = socket, .events = POLLIN};
}

static void ask(int number) {
    char request[1024], body[256];
    snprintf(body, sizeof body, "{\"model\":\"bench\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"stream %d.\"}]}",
             number);
    int length = snprintf(request, sizeof request,
                          "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: %s\r\n"
                          "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                          proxy_port, authorization, strlen(body), body);
    memset(streams[number].tail, 0, sizeof streams[number].tail);
    put(streams[number].client, request, (size_t)length, "the proxy closed a connection");
}

static void send_next(struct stream *s) {
    struct bytes *next = s->events_left ? &event : &stream_end;
    s->events_left--;
    put(s->provider, next->data, next->length, "the proxy closed a connection to the provider");
}

/* Reads as the provider; a whole request starts the stream that it names. Returns 0 where the connection is over. */
static int provide(int i) {
    ssize_t got = recv(sockets[i].fd, requests[i] + request_bytes[i], MAX_REQUEST_BYTES - request_bytes[i], 0);
    if (got <= 0) return 0;
    request_bytes[i] += (size_t)got;
    requests[i][request_bytes[i]] = 0;
    if (!request_length(requests[i], request_bytes[i])) return 1;
    request_bytes[i] = 0;
    char *named = strstr(requests[i], "\"stream ");
    if (!named) return 0;   /* left over from the load before */
    struct stream *s = &streams[atoi(named + 8)];
    s->provider = sockets[i].fd;
    s->events_left = EVENTS;
    put(s->provider, STREAM_HEAD, sizeof STREAM_HEAD - 1, "the proxy closed a connection to the provider");
    send_next(s);
    return 1;
}

/* Reads as the client. Returns how many events came, and sets `over` at the end of the stream. */
static int receive(struct stream *s, int *over) {
    static char data[65536 + 1];
    int events = 0;
    ssize_t got = recv(s->client, data, sizeof data - 1, 0);
    if (got <= 0) fail("the proxy closed a connection");
    data[got] = 0;
    if (!s->tail[0] && strncmp(data, "HTTP/1.1 200", 12)) fail(data);
    char last = s->tail[4];
    for (ssize_t k = 0; k < got; last = data[k++]) events += last == '\n' && data[k] == '\n';
    for (ssize_t k = got > 5 ? got - 5 : 0; k < got; k++) {
        memmove(s->tail, s->tail + 1, 4);
        s->tail[4] = data[k];
    }
    if (!s->tail[0]) s->tail[0] = ' ';
    *over = s->events_left < 0 && !strcmp(s->tail, "0\r\n\r\n");
    return events;
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: stepper PROVIDER_PORT PROXY_PORT STREAMS SECONDS AUTHORIZATION\n");
        return 2;
    }
    int count = atoi(argv[3]), on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    double seconds = atof(argv[4]);
    proxy_port = atoi(argv[2]);
    authorization = argv[5];
    if (count < 1 || count > MAX_STREAMS) fail("STREAMS must be 1 to 256");
    signal(SIGPIPE, SIG_IGN);
    alarm((unsigned)seconds + 30);   /* a proxy that loses an event would leave us waiting */
    write_events(&event, 1);
    write_stream_end(&stream_end);

    struct sockaddr_in provider = loopback(atoi(argv[1])), proxy = loopback(proxy_port);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&provider, sizeof provider)) fail("the provider's port is taken");
    if (listen(listener, 512)) fail("can't listen");
    watch(listener);
    for (int n = 0; n < count; n++) {
        streams[n].client = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(streams[n].client, (struct sockaddr *)&proxy, sizeof proxy)) fail("nothing listens on PROXY_PORT");
        watch(streams[n].client);
        ask(n);
    }

    double start_s = now_s() + WARM_UP_S, end_s = start_s + seconds;
    long relayed = 0;
    for (int active = count; active;) {
        if (poll(sockets, (nfds_t)in_use, -1) < 0) fail("poll");
        double at_s = now_s();
        for (int i = in_use - 1; i > count; i--) {
            if (!sockets[i].revents || provide(i)) continue;
            close(sockets[i].fd);
            sockets[i] = sockets[--in_use];
            memcpy(requests[i], requests[in_use], request_bytes[in_use]);
            request_bytes[i] = request_bytes[in_use];
            request_bytes[in_use] = 0;
        }
        for (int n = 0; n < count; n++) {
            if (!sockets[n + 1].revents) continue;
            int over = 0, events = receive(&streams[n], &over);
            if (at_s >= start_s && at_s < end_s) relayed += events;
            if (over && at_s >= end_s) active--;
            else if (over) ask(n);
            else if (events && streams[n].events_left >= 0) send_next(&streams[n]);
        }
        if (sockets[0].revents) watch(accept(listener, NULL, NULL));
    }
    printf("%.1f\n", (double)relayed / seconds);
}
