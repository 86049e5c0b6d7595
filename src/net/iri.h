/* iri.h: a URL as people write it, in any script. */
#ifndef NET_IRI_H
#define NET_IRI_H

#include <thrum/error.h>

/* The ASCII form of a URL: a host in another script by IDNA 2008 (RFC 5891, libidn2's mapping), what is not
 * ASCII in path and query percent-encoded (RFC 3987 section 3.1). An ASCII text is copied as it is. *out is
 * to be freed with mem_free. E_ARGUMENT, E_MEMORY. */
thrum_status iri_to_url(char **out, const char *iri, thrum_error *err);

#endif
