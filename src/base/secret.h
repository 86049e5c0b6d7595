/* secret.h: what must not tell by its time how right a guess is. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* Its time depends on a guess's length alone: not on where it differs, nor on how long the secret is. */
bool secret_equal(const void *guess, size_t n, const void *secret, size_t secret_n);

#endif
