/* guard.h: a copy of bytes that ends where a page begins which must not be touched (and one such page lies
 * before its first page), so that a parser that reads one byte too far is stopped by the processor in every
 * build. */
#ifndef TESTS_LIB_GUARD_H
#define TESTS_LIB_GUARD_H

#include <stddef.h>
#include <stdint.h>

/* p may be NULL: the bytes are then zero. Never fails: a test without memory is aborted. */
uint8_t *guard_copy(const void *p, size_t n);
void guard_free(uint8_t *copy, size_t n); /* n as it was given to guard_copy; NULL is fine */

#endif
