/* thrum/status.h: what a call can answer. 0 is success, all else is negative. The hundreds digit names the
 * layer at fault: 1 usage, 2 this process, 3 network, 4 TLS, 5 HTTP and proxy, 6 peer, 7 ended.
 * The list is src/base/status.def; a test holds the two together. */
#ifndef THRUM_STATUS_H
#define THRUM_STATUS_H

#include <thrum/export.h>

typedef enum thrum_status {
    THRUM_OK = 0,
    THRUM_E_ARGUMENT = -100,  /* a parameter or option is not what the call takes; nothing was done */
    THRUM_E_STATE = -101,     /* not now: e.g. another message is being sent in parts by this thread */
    THRUM_E_THREAD = -102,    /* called from a thread that may not call it */
    THRUM_E_FORKED = -103,    /* the connection belongs to the parent process */
    THRUM_E_TOO_NEW = -104,   /* an option was set that this version of the library does not know */
    THRUM_E_MEMORY = -200,    /* no memory */
    THRUM_E_TIMEOUT = -201,   /* the time was up; of a send: nothing of the message has left */
    THRUM_E_CANCELLED = -202, /* thrum_cancel; of a send: nothing of the message has left */
    THRUM_E_INTERRUPTED =
        -203,            /* a signal, where .interruptible asks for it; nothing of a message has left */
    THRUM_E_FULL = -204, /* a limit set by an option or by the system is reached */
    THRUM_E_UNFINISHED =
        -205, /* the wait ended in mid-message; the rest is kept and will be sent: do not resend */
    THRUM_E_SYSTEM = -206,      /* the system refused a thread, a descriptor or randomness: see os_errno */
    THRUM_E_RESOLVE = -300,     /* the host name has no address */
    THRUM_E_CONNECT = -301,     /* no address could be connected to, or listened on */
    THRUM_E_RESET = -302,       /* the connection broke below WebSocket: see os_errno */
    THRUM_E_TLS = -400,         /* TLS failed */
    THRUM_E_CERTIFICATE = -401, /* the certificate was not accepted */
    THRUM_E_PROXY = -500,       /* the proxy refused */
    THRUM_E_HANDSHAKE = -501,   /* the peer's handshake breaks RFC 6455 or RFC 9112 */
    THRUM_E_REFUSED = -502,     /* the peer answered with HTTP: see http_status */
    THRUM_E_PROTOCOL = -600,    /* the peer broke RFC 6455 (close code 1002) */
    THRUM_E_TOO_BIG = -601,     /* a message is over a limit (close code 1009) */
    THRUM_E_UTF8 = -602,        /* text that is not UTF-8 (close code 1007) */
    THRUM_E_CLOSED = -700,      /* the connection has ended with a closing handshake, or was freed */
    THRUM_E_UNCLEAN = -701      /* the connection has ended without one (1006) */
} thrum_status;

THRUM_BEGIN
/* [any] The status's name without its prefix, e.g. "TIMEOUT"; "?" for a number that is none. Static text. */
THRUM_API const char *thrum_status_name(thrum_status s);
/* [any] One sentence on what the status means; static text. */
THRUM_API const char *thrum_status_text(thrum_status s);
THRUM_END

#endif
