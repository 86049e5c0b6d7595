/* closecode.h: RFC 6455 section 7.4 and the IANA registry. */
#ifndef WIRE_CLOSECODE_H
#define WIRE_CLOSECODE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    CLOSE_NORMAL = 1000,
    CLOSE_GOING_AWAY = 1001,
    CLOSE_PROTOCOL = 1002,
    CLOSE_NONE = 1005,     /* never on the wire */
    CLOSE_ABNORMAL = 1006, /* never on the wire */
    CLOSE_DATA = 1007,
    CLOSE_POLICY = 1008,
    CLOSE_TOO_BIG = 1009,
    CLOSE_INTERNAL = 1011
};

/* 1000-1003, 1007-1014, 3000-4999: the same set may be sent and received. */
bool closecode_on_wire(uint16_t code);
const char *closecode_name(uint16_t code); /* "going away"; "" for a private or unknown one */

#endif
