/* tls.c: wss:// on both sides: a server with a certificate, clients that check it, a certificate that is
 * changed while the server runs. Without arguments the program makes itself an authority and certificates
 * with the openssl program; with a URL it only connects, and tells what was agreed on. */
#include "example.h"

#include <thrum/tls.h>
#include <unistd.h>

static char dir[] = "/tmp/thrum-example-XXXXXX";

static const char *path(const char *name)
{
    static char text[4][64];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(text[turn], sizeof text[turn], "%s/%s", dir, name);
    return text[turn];
}

/* As anybody would in a shell. A certificate from a real authority comes as two such files, too. */
static void make_certificate(const char *name, int days)
{
    char command[800];
    snprintf(command, sizeof command,
             "cd %s && { printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' > "
             "names && "
             "{ [ -e ca.pem ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "
             "'/CN=example CA' "
             "-days 2 -keyout ca.key -out ca.pem; } && "
             "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=%s' -keyout key.pem "
             "-out request && "
             "openssl x509 -req -in request -CA ca.pem -CAkey ca.key -set_serial %d -days %d -extfile names "
             "-out chain.pem; } > /dev/null 2>&1",
             dir, name, days, days);
    if (system(command) != 0) {
        fprintf(stderr, "this example needs the openssl program\n");
        exit(1);
    }
}

static void tell(const char *url, const thrum_tls_options *tls)
{
    thrum_tls_info info = {.size = sizeof info};
    thrum_conn *ws;
    thrum_error err;
    if (thrum_connect(&ws, url, THRUM_CLIENT(.tls = tls), &err) != THRUM_OK) {
        printf("refused: %s\n", err.text);
        return;
    }
    if (thrum_conn_tls(ws, &info) == THRUM_OK)
        printf("connected: %s, %s, the server is %s\n", info.version, info.cipher, info.subject);
    (void)thrum_close(ws, 1000, NULL);
    thrum_conn_free(ws);
}

int main(int argc, char **argv)
{
    thrum_server *server;
    thrum_tls *tls;
    thrum_error err;

    if (argc > 1) {
        tell(argv[1], NULL); /* the system's trust store, the host checked: nothing to be set */
        return 0;
    }
    if (!mkdtemp(dir))
        return 1;
    make_certificate("the first", 1);
    if (thrum_tls_new(&tls, THRUM_TLS(.cert_file = path("chain.pem"), .key_file = path("key.pem")), &err) !=
        THRUM_OK)
        example_die("tls", &err);
    if (thrum_serve(&server, "wss://127.0.0.1:0/", THRUM_SERVER(.serve = example_echo, .tls_shared = tls),
                    &err) != THRUM_OK)
        example_die("serve", &err);

    const char *url = thrum_server_url(server);
    tell(url, NULL);                                 /* nobody but us knows that authority */
    tell(url, THRUM_TLS(.ca_file = path("ca.pem"))); /* now it is known */

    make_certificate("the second", 2); /* as a tool that renews certificates would */
    if (thrum_tls_reload(tls, THRUM_TLS(.cert_file = path("chain.pem"), .key_file = path("key.pem")), &err) !=
        THRUM_OK)
        example_die("reload", &err);
    tell(url, THRUM_TLS(.ca_file = path("ca.pem"))); /* connections from before would still be open */

    thrum_server_free(server);
    thrum_tls_free(tls);
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command) == 0 ? 0 : 1;
}
