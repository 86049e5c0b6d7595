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

static thrum_status receive(thrum_conn *c, thrum_message *m, thrum_wait t, bool parts)
{
    struct call k;
    if (!m)
        return THRUM_E_ARGUMENT;
    *m = (thrum_message){0};
    if (t < 0 && t != THRUM_FOREVER)
        return THRUM_E_ARGUMENT;
    thrum_status s = call_enter(&k, c);
    if (s != THRUM_OK)
        return s;
    s = take(&k, m, parts, clock_after(k.now, t));
    call_leave(&k);
    return s;
}

thrum_status thrum_recv(thrum_conn *c, thrum_message *m, thrum_wait t)
{
    return receive(c, m, t, false);
}

thrum_status thrum_recv_part(thrum_conn *c, thrum_message *m, thrum_wait t)
{
    return receive(c, m, t, true);
}
