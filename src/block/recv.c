/* recv.c: messages to the user, whole or in parts. */
#include "base/clock.h"
#include "block/block.h"

static thrum_status take(struct call *k, thrum_message *m, bool parts, int64_t deadline)
{
    thrum_proto *p = k->b->c.proto;
    if (!parts && proto_in_parts(p))
        return THRUM_E_STATE;
    thrum_status s = call_wait(k, parts ? WANT_PART : WANT_MESSAGE, deadline);
    if (s != THRUM_OK)
        return s;
    thrum_event e;
    if (!(parts ? thrum_proto_event_part(p, &e) : thrum_proto_event(p, &e)))
        return THRUM_E_MEMORY; /* there was something, but no memory to hand it out: it stays */
    *m = e.message;
    return THRUM_OK;
}

thrum_status block_receive(thrum_conn *c, thrum_message *m, thrum_wait t, bool parts)
{
    struct call k;
    thrum_status s = call_enter(&k, c);
    if (s != THRUM_OK)
        return s;
    s = take(&k, m, parts, clock_after(k.now, t));
    call_leave(&k);
    return s;
}
