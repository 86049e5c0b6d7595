/* client.h: a client's options made ready. */
#ifndef BLOCK_CLIENT_H
#define BLOCK_CLIENT_H

#include "conn/conn.h"
#include <thrum/response.h>
#include <thrum/tls.h>

/* Checks and copies; TLS settings that are given are made. *answer (may be NULL) is where the caller wants an
 * HTTP answer. Errors as settings_client's and tls_settings'. */
thrum_status client_settings(struct shared_settings **out, const thrum_client_options *o,
                             thrum_response ***answer, thrum_error *err);

#endif
