/* Twin of src/loop/poll.c. */
#define BACKEND "poll"
#include "poller_checks.h"
