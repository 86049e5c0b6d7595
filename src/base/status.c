/* status.c: names and sentences from status.def. The switches have no default, so that the compiler names a
 * status of the public header that the list has forgotten. */
#include <thrum/status.h>
#include <thrum/version.h>

const char *thrum_status_name(thrum_status s)
{
    const char *name = "?";
    switch (s) {
#define THRUM_STATUS(number, NAME, sentence)                                                                 \
    case THRUM_##NAME:                                                                                       \
        name = #NAME;                                                                                        \
        break;
#include "base/status.def"
#undef THRUM_STATUS
    }
    return name[0] == 'E' && name[1] == '_' ? name + 2 : name;
}

const char *thrum_status_text(thrum_status s)
{
    switch (s) {
#define THRUM_STATUS(number, NAME, sentence)                                                                 \
    case THRUM_##NAME:                                                                                       \
        return sentence;
#include "base/status.def"
#undef THRUM_STATUS
    }
    return "No status of this version of the library.";
}

const char *thrum_version(void)
{
    return THRUM_VERSION;
}
