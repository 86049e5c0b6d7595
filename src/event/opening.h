/* opening.h: clients of a loop, from thrum_open to a connected socket. */
#ifndef EVENT_OPENING_H
#define EVENT_OPENING_H

#include "event/event.h"

void opening_event(void *job, const struct poller_event *e);
void opening_forget(struct lconn *c); /* it ends before its socket is connected */
void opening_forked(void);            /* in a child of fork */
void opening_free_inherited(struct thrum_loop *l);
void opening_end_all(struct thrum_loop *l); /* the loop ends */

#endif
