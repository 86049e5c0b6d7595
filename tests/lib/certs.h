/* certs.h: certificates for tests, made on the spot (EC P-256). A test that runs out of entropy or memory
 * here has nothing to say: they abort. */
#ifndef TESTS_LIB_CERTS_H
#define TESTS_LIB_CERTS_H

#include <stdbool.h>
#include <stddef.h>

struct cert { /* PEM, from malloc; cert_free gives it back */
    char *cert, *key;
};
struct cert_how {
    const char *name;       /* common name */
    const char *names;      /* subjectAltName, e.g. "DNS:localhost,IP:127.0.0.1"; NULL none */
    int from_days, to_days; /* validity, from now; both 0: yesterday until tomorrow */
    const struct cert *by;  /* the issuer; NULL: itself */
    bool authority;         /* may issue others */
};
void cert_make(struct cert *out, const struct cert_how *how);
void cert_free(struct cert *c);
/* Writes text into a new file below dir: its path, from malloc. */
char *cert_file(const char *dir, const char *name, const char *text);

/* What most tests want, made at the first call and freed at exit: an authority, a server's certificate of it
 * for localhost, pair.test, 127.0.0.1 and ::1, and a client's. */
struct certs {
    struct cert authority, server, client;
};
const struct certs *certs_usual(void);

#endif
