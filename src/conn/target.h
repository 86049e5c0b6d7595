/* target.h: where a client's connect leads, and as whom it shows itself there: from the URL, through
 * redirects, to the answer to a challenge. */
#ifndef CONN_TARGET_H
#define CONN_TARGET_H

#include "conn/conn.h"
#include "wire/uri.h"
#include <thrum/response.h>

enum { TARGET_FIELDS = 5, AUTHORIZATION_MAX = 2048, ANSWERS_MAX = 3 };

struct target {
    char *url;             /* in ASCII, without credentials */
    struct uri uri;        /* of url */
    char *user, *password; /* from the URL or the settings; NULL none */
    char *authorization;   /* the field's value; NULL none */
    bool foreign;          /* of another origin than the first: credentials stay out */
    bool tried;            /* credentials were sent, so a further 401 is a refusal */
    unsigned answers;      /* to challenges */
    bool given_stream;     /* over a descriptor of the caller's: it leads to one place only */
};
/* E_ARGUMENT, E_MEMORY. target_free is fine, and needed, in any case. */
thrum_status target_first(struct target *t, const char *url, const struct shared_settings *ss,
                          thrum_error *err);
void target_free(struct target *t);
/* Header fields for the request: name, value, ..., NULL, in v. */
const char *const *target_fields(const struct target *t, const struct shared_settings *ss,
                                 const char *v[TARGET_FIELDS]);
/* A Location is followed: E_REFUSED where it must not be, E_MEMORY. */
thrum_status target_redirect(struct target *t, const char *location, int status, thrum_error *err);
/* A 401 is answered: E_REFUSED where we have nothing to answer with, or where that was refused (err is then
 * left, or says that the credentials are wrong), E_MEMORY. */
thrum_status target_authorize(struct target *t, const thrum_response *r, thrum_error *err);

#endif
