/* close.c: the closing handshake as a call, and cancelling. The states are in proto/control.c. */
#include "base/clock.h"
#include "block/block.h"
#include <string.h>

static thrum_status shake_hands(struct call *k, uint16_t code, thrum_slice why)
{
    struct thrum_conn *c = &k->b->c;
    if (conn_ended(c))
        return THRUM_OK;
    thrum_status s = thrum_proto_close(c->proto, code, why, k->now);
    if (s != THRUM_OK)
        return s;
    conn_write(c, k->now);
    block_wake(k->b); /* senders whose turn will not come */
    /* The proto has its own deadline for the peer's answer, close_timeout; this one only bounds a clock that
     * jumps. */
    int64_t span = proto_settings(c->proto)->close_timeout;
    s = call_wait(k, WANT_END, clock_after(k->now, span < 0 ? span : span + 1000));
    if (s == THRUM_E_TIMEOUT)
        conn_cut(c, THRUM_E_UNCLEAN, "the peer did not answer Close within close_timeout", k->now);
    if (s != THRUM_OK)
        return s;
    thrum_closing closing = {.size = sizeof closing};
    (void)thrum_proto_closing(c->proto, &closing);
    if (closing.clean)
        return THRUM_OK;
    thrum_error e;
    thrum_proto_error(c->proto, &e);
    if (e.status == THRUM_E_UNCLEAN && !e.by_peer)
        return THRUM_E_TIMEOUT; /* it was silent, not gone */
    return e.status == THRUM_E_CLOSED ? THRUM_OK : e.status;
}

thrum_status block_close(thrum_conn *c, uint16_t code, const char *why)
{
    struct call k;
    thrum_status s = call_enter(&k, c);
    if (s != THRUM_OK)
        return s;
    s = shake_hands(&k, code, (thrum_slice){(const uint8_t *)why, why ? strlen(why) : 0});
    call_leave(&k);
    return s;
}

void block_cancel(thrum_conn *c)
{
    if (conn_mine(c) != THRUM_OK)
        return;
    int cancel = cancel_off();
    lock_take(&c->lock);
    block_of(c)->cancels++;
    block_wake(block_of(c));
    lock_give(&c->lock);
    cancel_back(cancel);
}
