/* reply_int.h: what a callback says of the answer. */
#ifndef PROTO_REPLY_INT_H
#define PROTO_REPLY_INT_H

#include "base/buf.h"
#include "proto/proto.h"

enum {
    REPLY_FIELDS = 64,
    REPLY_FIELDS_MAX = 64 * 1024,
    REPLY_TYPE_MAX = 1024,
    REPLY_BODY_MAX = 16 * 1024 * 1024
};

struct thrum_reply {
    struct buf fields; /* as they go on the wire, each with CR LF */
    size_t nfields;
    char *body, *type;
    size_t n;
    void *user; /* of the connection to be, see thrum_reply_user */
};

struct thrum_reply *reply_new(void);
void reply_free(struct thrum_reply *a); /* NULL is fine */

#endif
