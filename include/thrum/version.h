/* thrum/version.h: numbers at compile time, thrum_version() at run time. */
#ifndef THRUM_VERSION_H
#define THRUM_VERSION_H

#include <thrum/export.h>

#define THRUM_VERSION_MAJOR 0
#define THRUM_VERSION_MINOR 1
#define THRUM_VERSION_PATCH 0
#define THRUM_VERSION       "0.1.0"

THRUM_BEGIN
/* [any] The version of the library that is loaded, e.g. "0.1.0"; static text. Never fails, never waits. */
THRUM_API const char *thrum_version(void);
THRUM_END

#endif
