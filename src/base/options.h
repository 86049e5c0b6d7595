/* options.h: structs of options whose first field is their size: the caller may be older or newer than this
 * library. */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <stddef.h>
#include <thrum/error.h>

/* Copies what both know of *o (may be NULL: all zero) to the struct at `to`, which has `own` bytes.
 * E_ARGUMENT for a size that cannot be; E_TOO_NEW where something is set that this library does not know. */
thrum_status options_read(void *to, size_t own, const void *o, thrum_error *err);

#endif
