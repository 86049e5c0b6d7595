/* subscribe.h: topics of a home, see topic.h. */
#ifndef EVENT_SUBSCRIBE_H
#define EVENT_SUBSCRIBE_H

#include "event/event.h"

/* Only the home's loop changes them and looks at them without the lock, which it takes to change them: others
 * count under it. */
struct home_topics {
    struct topics of;
    struct lock lock;
};

struct home_topics *topics_of_home(thrum_error *err); /* NULL: no memory or no randomness */
void topics_of_home_free(struct home_topics *t);
void topics_leave(struct lconn *c); /* all its subscriptions */

#endif
