/* http_server.c: see http_server.h.  One connection at a time, closed after its answer. */
#include "data/http_server.h"

#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct http_server {
    http_options options;
    int listener;
    char url[64];
    pthread_t thread;
    atomic_size_t sent;
    atomic_int requests;
};

static bool send_all(int socket, const void *data, size_t bytes)
{
    const char *p = data;

    while (bytes > 0) {
        const ssize_t n = send(socket, p, bytes, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        p += n;
        bytes -= (size_t)n;
    }
    return true;
}

/* The request's header into text; false: the other side went away. */
static bool receive_request(int socket, char *text, size_t size)
{
    size_t length = 0;

    while (length + 1 < size) {
        const ssize_t n = recv(socket, text + length, size - 1 - length, 0);

        if (n <= 0)
            return false;
        length += (size_t)n;
        text[length] = 0;
        if (strstr(text, "\r\n\r\n"))
            return true;
    }
    return false;
}

static void answer(http_server *s, int socket)
{
    char request[4096], header[256];
    const char *range;
    const http_options *o = &s->options;
    size_t from = 0, count;
    int code = o->code ? o->code : 200, length;

    if (!receive_request(socket, request, sizeof(request)))
        return;
    atomic_fetch_add(&s->requests, 1);
    range = strstr(request, "Range: bytes=");
    if (range && !o->no_ranges && !o->code) {
        from = (size_t)strtoull(range + strlen("Range: bytes="), NULL, 10);
        code = from < o->bytes ? 206 : 416;
    }
    count = code == 200 || code == 206 ? o->bytes - from : 0;
    length = snprintf(header, sizeof(header),
                      "HTTP/1.1 %d Whatever\r\nContent-Length: %zu\r\nConnection: close\r\n",
                      code, count);
    if (code == 206)
        length += snprintf(header + length, sizeof(header) - (size_t)length,
                           "Content-Range: bytes %zu-%zu/%zu\r\n", from, o->bytes - 1, o->bytes);
    snprintf(header + length, sizeof(header) - (size_t)length, "\r\n");
    if (o->break_after && count > o->break_after)
        count = o->break_after;
    if (send_all(socket, header, strlen(header)) &&
        send_all(socket, (const char *)o->data + from, count))
        atomic_fetch_add(&s->sent, count);
}

static void *serve(void *self)
{
    http_server *s = self;
    int socket;

    while ((socket = accept(s->listener, NULL, NULL)) >= 0) {
        answer(s, socket);
        shutdown(socket, SHUT_WR);
        close(socket);
    }
    return NULL;
}

http_server *http_server_start(const http_options *options)
{
    http_server *s = calloc(1, sizeof(*s));
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);

    CHECK(s != NULL);
    s->options = *options;
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(s->listener >= 0);
    CHECK_INT(bind(s->listener, (struct sockaddr *)&address, size), 0);
    CHECK_INT(listen(s->listener, 8), 0);
    CHECK_INT(getsockname(s->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%d/file", ntohs(address.sin_port));
    CHECK_INT(pthread_create(&s->thread, NULL, serve, s), 0);
    return s;
}

const char *http_server_url(const http_server *s)
{
    return s->url;
}

size_t http_server_sent(http_server *s)
{
    return atomic_load(&s->sent);
}

int http_server_requests(http_server *s)
{
    return atomic_load(&s->requests);
}

void http_server_stop(http_server *s)
{
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
    free(s);
}
