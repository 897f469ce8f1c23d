/* http_server.h: a web server on the loopback interface, of one file, with a thread of its own. */
#ifndef SFTN_TEST_DATA_HTTP_SERVER_H
#define SFTN_TEST_DATA_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>

/* How it answers. */
typedef struct http_options {
    const void *data; /* what GET gives, whatever the path; must outlive the server */
    size_t bytes;
    bool no_ranges;   /* ignore Range: always send all */
    size_t break_after; /* close the connection after this many bytes of a body; 0: never */
    int code;         /* other than 0: answer with this and no body */
} http_options;

typedef struct http_server http_server;

http_server *http_server_start(const http_options *options);
/* "http://127.0.0.1:PORT/file"; owned by the server. */
const char *http_server_url(const http_server *s);
/* Bytes of bodies sent, and requests answered, so far. */
size_t http_server_sent(http_server *s);
int http_server_requests(http_server *s);
void http_server_stop(http_server *s);

#endif
