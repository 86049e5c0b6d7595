/* Twin of src/loop/epoll.c. */
#define BACKEND "epoll"
#include "poller_checks.h"
