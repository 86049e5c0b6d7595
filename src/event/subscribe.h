/* subscribe.h: topics of a home, see topic.h. */
#ifndef EVENT_SUBSCRIBE_H
#define EVENT_SUBSCRIBE_H

#include "event/event.h"

struct topics *topics_of_home(thrum_error *err); /* NULL: no memory or no randomness */
void topics_of_home_free(struct topics *t);
void topics_leave(struct lconn *c); /* all its subscriptions */

#endif
