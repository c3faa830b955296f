/* What the benchmark's provider says, in bytes ready to send: the parts of a stream. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CHUNK_START "{\"id\":\"chatcmpl-0217000000000000000000\",\"object\":\"chat.completion.chunk\"," \
                    "\"created\":1700000000,\"model\":\"bench-upstream\",\"choices\":[{\"index\":0,\"delta\":"
#define USAGE "\"usage\":{\"prompt_tokens\":24,\"completion_tokens\":200,\"total_tokens\":224," \
              "\"prompt_tokens_details\":{\"cached_tokens\":0}}"

static const char EVENT[] =   /* 250 bytes */
    "data: " CHUNK_START "{\"role\":\"assistant\",\"content\":\"and who walks by is counted, too \"},"
    "\"finish_reason\":null}]}\n\n";
static const char LAST_EVENTS[] =
    "data: " CHUNK_START "{},\"finish_reason\":\"stop\"}]," USAGE "}\n\ndata: [DONE]\n\n";
static const char STREAM_HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

struct bytes {
    char data[16384];
    size_t length;
};

static void add_chunk(struct bytes *to, const char *text) {
    to->length += (size_t)snprintf(to->data + to->length, sizeof to->data - to->length, "%zx\r\n%s\r\n", strlen(text), text);
}

/* `count` events, each an HTTP chunk of its own. */
static void write_events(struct bytes *to, int count) {
    to->length = 0;
    while (count--) add_chunk(to, EVENT);
}

/* The events that end a stream, and the end of the HTTP body. */
static void write_stream_end(struct bytes *to) {
    to->length = 0;
    add_chunk(to, LAST_EVENTS);
    to->length += (size_t)snprintf(to->data + to->length, sizeof to->data - to->length, "0\r\n\r\n");
}

/* The length of the first HTTP request in a buffer that ends in a zero byte, body included; 0: not all of it is here. */
static size_t request_length(const char *buffer, size_t length) {
    const char *head_end = strstr(buffer, "\r\n\r\n");
    if (!head_end) return 0;
    const char *field = strcasestr(buffer, "\r\ncontent-length:");
    size_t body = field && field < head_end ? strtoul(field + 17, NULL, 10) : 0;
    size_t whole = (size_t)(head_end + 4 - buffer) + body;
    return whole <= length ? whole : 0;
}
