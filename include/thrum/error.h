/* thrum/error.h: why a call failed or a connection ended. The struct is the caller's, and frozen: 320 bytes.
 */
#ifndef THRUM_ERROR_H
#define THRUM_ERROR_H

#include <stdint.h>
#include <thrum/status.h>

typedef struct thrum_error {
    thrum_status status;
    int32_t os_errno;     /* errno of the system call that failed, or 0 */
    uint64_t tls_code;    /* 0 when TLS had no part in it */
    uint16_t close_code;  /* RFC 6455 section 7.4; 0 when there was none */
    uint16_t http_status; /* RFC 9110 section 15; 0 when there was none */
    uint8_t by_peer;      /* 1 if the other side ended it */
    uint8_t reserved[43];
    char text[256]; /* one sentence, UTF-8, ends in NUL: what failed, where, what to try */
} thrum_error;

#endif
