/* serve.h: what the servers of both fronts do alike: options, the socket to listen on, and what goes on a
 * connection's socket before WebSocket is spoken. */
#ifndef CONN_SERVE_H
#define CONN_SERVE_H

#include "conn/conn.h"
#include "net/listen.h"

/* Checks and copies; TLS settings that are given are made. Errors as settings_server's and tls_settings'. */
thrum_status serve_settings(struct shared_settings *ss, const thrum_server_options *o, thrum_error *err);
/* Parses the URL and listens there. */
thrum_status serve_listen(struct listener *l, const char *url, const struct shared_settings *ss,
                          bool reuse_port, thrum_error *err);
/* The stack of streams that the settings ask for: *stream is its top. On failure it is NULL: all is freed. */
thrum_status serve_wrap(struct stream **stream, struct shared_settings *ss, thrum_error *err);

#endif
