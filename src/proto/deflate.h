/* deflate.h: permessage-deflate (RFC 7692) of one connection. */
#ifndef PROTO_DEFLATE_H
#define PROTO_DEFLATE_H

#include "proto/codec.h"
#include "proto/settings.h"
#include <thrum/proto.h>

struct history { /* the last bytes of the text that went one way: what the next message may refer to */
    uint8_t *p;
    size_t n, cap;
};

struct deflate_way { /* one direction's rules, as agreed */
    uint8_t bits;
    bool takeover;
};

struct deflate {
    struct deflate_way out, in;
    uint8_t level, memory;  /* for our own compressing, see struct deflate_how */
    bool sending : 1;       /* the message that we are sending in parts is compressed */
    bool longer : 1;        /* the last that came was too long for one go: the next is not tried so */
    bool fixed : 1;         /* fixed codes do for the messages of this round, */
    unsigned char turn : 4; /* of which it is the turn, */
    uint8_t own_share;      /* and with codes of its own one got to so many 256ths */
    thrum_time told;        /* when data was sent last, compressed or not */
    struct history sent, received;
    struct inflater *inflater; /* while a compressed message is being received, */
    struct whole *whole;       /* or one that came as a whole */
};

struct deflate *deflate_new(const struct settings *s, struct deflate_way out, struct deflate_way in);
void deflate_free(struct deflate *d);
size_t deflate_held(const struct deflate *d);
struct deflate_how deflate_how(const struct deflate *d); /* it compresses, where nothing more is known */

/* One fragment, or a whole message. *to comes from `with`, which the caller gives back. E_MEMORY. */
thrum_status deflate_send(struct deflate *d, const thrum_slice *v, size_t n, bool last,
                          struct deflater **with, thrum_slice *to);
/* It is on its way: the peer will have this text. */
void deflate_sent(struct deflate *d, const thrum_slice *v, size_t n, bool last);
/* It is not, or the peer has got other text meanwhile: no reference may go back behind here. */
void deflate_forget(struct deflate *d);
void deflate_was_told(struct deflate *d, thrum_slice text); /* by a broadcast that was compressed for many */

/* `in` is all of a message. True: *text, of at most `most` bytes, is its text, until the message is received
 * or dropped. False: it is to be received in pieces. */
bool deflate_receive_whole(struct deflate *d, thrum_slice in, size_t most, thrum_slice *text);
enum inflated deflate_receive(struct deflate *d, thrum_slice *in, uint8_t *to, size_t *room);
/* The message, of so many bytes, ends here: OK, BAD or MEMORY. */
enum inflated deflate_received(struct deflate *d, uint64_t text);
void deflate_drop(struct deflate *d); /* it never will */

#endif
