/* sha1.c: SHA-1 is asked for by RFC 6455 section 4.2.2 and guards nothing there. The low-level calls are
 * deprecated in OpenSSL 3 but still the right ones here: they fetch no provider and so never run
 * OPENSSL_init_crypto, which would register an exit handler and free tables that another thread is reading
 * while the process ends (contract E12). */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/sha1.h"
#include <openssl/sha.h>

void sha1(uint8_t out[20], const void *p, size_t n)
{
    SHA_CTX c;
    SHA1_Init(&c); /* the three answer 1, always */
    SHA1_Update(&c, p, n);
    SHA1_Final(out, &c);
}
