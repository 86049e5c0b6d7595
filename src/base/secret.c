/* secret.c: see secret.h. */
#include "base/secret.h"
#include <stdint.h>

/* The secret is gone round as often as the guess is long. volatile: the compiler may not leave early for us.
 */
bool secret_equal(const void *guess, size_t n, const void *secret, size_t secret_n)
{
    static const uint8_t empty[1] = {0};
    const volatile uint8_t *g = guess, *s = secret_n > 0 ? secret : empty;
    const size_t round = secret_n > 0 ? secret_n : 1;
    volatile uint8_t different = n != secret_n;
    for (size_t i = 0, k = 0; i < n; i++, k = k + 1 == round ? 0 : k + 1)
        different = (uint8_t)(different | (g[i] ^ s[k]));
    return different == 0;
}
