/* user.c: somebody's program, built against an installed thrum by install_test.sh. It has names of its own
 * that rooms of the library have as well; they must not meet. */
#include <stdio.h>
#include <string.h>
#include <thrum/proto.h>
#include <thrum/thrum.h>

int conn_free(void);
int frame_decode(void);
int mem_alloc(void);

int conn_free(void)
{
    return 1;
}

int frame_decode(void)
{
    return 2;
}

int mem_alloc(void)
{
    return 3;
}

int main(void)
{
    thrum_conn *c = NULL;
    thrum_error err;
    /* A URL that no build accepts, so that the call goes through the library and needs no network. */
    thrum_status s = thrum_connect(&c, "no url", NULL, &err);
    if (s != THRUM_E_ARGUMENT || c != NULL || err.text[0] == '\0') {
        fprintf(stderr, "thrum_connect answered %s (%s)\n", thrum_status_name(s), err.text);
        return 1;
    }
    if (strcmp(thrum_version(), THRUM_VERSION) != 0 || conn_free() + frame_decode() + mem_alloc() != 6) {
        fprintf(stderr, "the library says version %s, its header %s\n", thrum_version(), THRUM_VERSION);
        return 1;
    }
    puts(thrum_version());
    return 0;
}
