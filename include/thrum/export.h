/* thrum/export.h: the only place with compiler conditionals. */
#ifndef THRUM_EXPORT_H
#define THRUM_EXPORT_H

#if defined(__GNUC__) || defined(__clang__)
#    define THRUM_API               __attribute__((visibility("default")))
#    define THRUM_MUST_CHECK        __attribute__((warn_unused_result))
#    define THRUM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#    define THRUM_API
#    define THRUM_MUST_CHECK
#    define THRUM_PRINTF(fmt, args)
#endif

#ifdef __cplusplus
#    define THRUM_BEGIN extern "C" {
#    define THRUM_END   }
#else
#    define THRUM_BEGIN
#    define THRUM_END
#endif

#endif
