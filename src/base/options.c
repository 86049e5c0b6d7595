/* options.c: what an older and a newer struct of options have in common is read, what is missing is zero, and
 * zero is the default. */
#include "base/options.h"

#include "base/text.h"
#include <stdint.h>
#include <string.h>
#include <thrum/version.h>

thrum_status options_read(void *to, size_t own, const void *o, thrum_error *err)
{
    size_t size;
    memset(to, 0, own);
    if (!o)
        return THRUM_OK;
    memcpy(&size, o, sizeof size);
    if (size < 2 * sizeof size || size % 8 != 0)
        return error_set(err, THRUM_E_ARGUMENT, "the options' .size is %zu: set it to sizeof the struct",
                         size);
    const uint8_t *b = o;
    for (size_t i = own; i < size; i++)
        if (b[i] != 0)
            return error_set(err, THRUM_E_TOO_NEW,
                             "an option is set that thrum " THRUM_VERSION " does not know (at byte %zu)", i);
    memcpy(to, o, size < own ? size : own);
    return THRUM_OK;
}
