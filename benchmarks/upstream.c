/* A provider that is faster than any proxy in front of it: one thread, one poll(2) loop. It answers a POST with a chat
 * completion, or, where the body says "stream":true, with a stream of EVENTS events, sent BURST at a time.
 *
 * Run: upstream PORT
 */
#include "replies.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 1024, MAX_REQUEST_BYTES = 65536, EVENTS = 200, BURST = 20 };

static const char COMPLETION[] =
    "{\"id\":\"chatcmpl-0217000000000000000000\",\"object\":\"chat.completion\",\"created\":1700000000,"
    "\"model\":\"bench-upstream\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
    "\"The arch stands at the head of the street, and who walks through it is counted.\"},\"finish_reason\":\"stop\"}]," USAGE "}";

struct connection {
    char request[MAX_REQUEST_BYTES + 1];
    size_t request_bytes;
    int events_left;    /* of the stream under way; -1: none */
    const char *rest;   /* of a reply that the socket did not take whole */
    size_t rest_bytes;
};

static struct pollfd sockets[MAX_CONNECTIONS + 1];   /* [0] listens */
static struct connection *connections[MAX_CONNECTIONS + 1];
static int in_use = 1;
static struct bytes completion, burst, stream_end;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void write_completion(void) {
    completion.length = (size_t)snprintf(completion.data, sizeof completion.data,
                                  "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                                  strlen(COMPLETION), COMPLETION);
}

static void add(int socket) {
    int on = 1;
    if (in_use > MAX_CONNECTIONS) {
        close(socket);
        return;
    }
    fcntl(socket, F_SETFL, O_NONBLOCK);
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!connections[in_use] && !(connections[in_use] = malloc(sizeof *connections[in_use]))) fail("malloc");
    connections[in_use]->request_bytes = connections[in_use]->rest_bytes = 0;
    connections[in_use]->events_left = -1;
    sockets[in_use++] = (struct pollfd){.fd = socket, .events = POLLIN};
}

/* Closes connection `i`; the last one takes its place. */
static void drop(int i) {
    struct connection *freed = connections[i];
    close(sockets[i].fd);
    sockets[i] = sockets[--in_use];
    connections[i] = connections[in_use];
    connections[in_use] = freed;
}

/* Sends what the socket takes and keeps the rest; returns 0 where the connection is broken. */
static int put(int i, const char *data, size_t length) {
    ssize_t sent = send(sockets[i].fd, data, length, 0);
    if (sent < 0 && errno != EAGAIN) return 0;
    if (sent < 0) sent = 0;
    connections[i]->rest = data + sent;
    connections[i]->rest_bytes = length - (size_t)sent;
    return 1;
}

/* Reads, and begins the answer once a request is whole; returns 0 where the connection is over. */
static int take(int i) {
    struct connection *c = connections[i];
    ssize_t got = recv(sockets[i].fd, c->request + c->request_bytes, MAX_REQUEST_BYTES - c->request_bytes, 0);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    c->request_bytes += (size_t)got;
    c->request[c->request_bytes] = 0;
    if (!request_length(c->request, c->request_bytes)) return c->request_bytes < MAX_REQUEST_BYTES;
    int stream = strstr(c->request, "\"stream\":true") || strstr(c->request, "\"stream\": true");
    c->request_bytes = 0;   /* clients here don't pipeline */
    if (!stream) return put(i, completion.data, completion.length);
    c->events_left = EVENTS;
    return put(i, STREAM_HEAD, sizeof STREAM_HEAD - 1);
}

/* Sends what is due next; returns 0 where the connection is broken. */
static int go_on(int i) {
    struct connection *c = connections[i];
    if (c->rest_bytes) return put(i, c->rest, c->rest_bytes);
    if (c->events_left) {
        c->events_left -= BURST;
        return put(i, burst.data, burst.length);
    }
    c->events_left = -1;
    return put(i, stream_end.data, stream_end.length);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: upstream PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    write_completion();
    write_events(&burst, BURST);
    write_stream_end(&stream_end);

    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address)) fail("bind");
    if (listen(listener, 512)) fail("listen");
    fcntl(listener, F_SETFL, O_NONBLOCK);
    sockets[0] = (struct pollfd){.fd = listener, .events = POLLIN};

    for (;;) {
        for (int i = 1; i < in_use; i++)
            sockets[i].events = connections[i]->rest_bytes || connections[i]->events_left >= 0 ? POLLOUT : POLLIN;
        if (poll(sockets, (nfds_t)in_use, -1) < 0) fail("poll");
        for (int i = in_use - 1; i > 0; i--) {   /* downwards: drop() moves the last one, which had its turn */
            short ready = sockets[i].revents;
            if (!ready) continue;
            if (!(ready & POLLOUT ? go_on(i) : take(i))) drop(i);
        }
        if (sockets[0].revents)
            for (int socket; (socket = accept(listener, NULL, NULL)) >= 0;) add(socket);
    }
}
