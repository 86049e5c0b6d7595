/* cli/args.c: the command line as a struct. One table says which option each command takes; help is made of
 * it, so that the two cannot differ. */
#include "cli.h"

#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPT_SUBPROTOCOL = 256,
    OPT_ORIGIN,
    OPT_HEADER,
    OPT_TIMEOUT,
    OPT_MAX_SIZE,
    OPT_BINARY,
    OPT_PING,
    OPT_LINGER,
    OPT_GRACE,
    OPT_NO_COMPRESSION,
    OPT_TRACE,
    OPT_CA,
    OPT_CERT,
    OPT_KEY,
    OPT_SERVER_NAME,
    OPT_INSECURE,
    OPT_PROXY,
    OPT_USER,
    OPT_BEARER,
    OPT_COOKIE,
    OPT_REDIRECTS,
    OPT_SOURCE,
    OPT_LOOPS,
    OPT_PUBLISH
};
#define COMMAND_OPTIONS 23

struct option_row {
    const char *name, *value, *text;
    int id;
};

struct command {
    const char *name, *summary, *uri_default, *notes;
    struct option_row options[COMMAND_OPTIONS + 1];
};

const struct command connect_command = {
    "connect",
    "thrum connect [OPTIONS] URI\n"
    "Opens a WebSocket connection: each line of standard input is sent as a message, each message received\n"
    "is printed on a line. URI: ws://host[:port]/path, wss://... or ws+unix:/socket/path:/request/path.\n",
    NULL,
    "On a terminal lines can be edited and recalled (cursor keys); Ctrl-D or Ctrl-C closes with 1000, a "
    "second\n"
    "Ctrl-C ends at once. Control characters of the peer's are shown as \\n, \\x1b or \\u{202e}.\n"
    "Exit status: 0 closed with 1000, 1001 or no code; 1 not connected, or ended badly, or input was "
    "refused;\n"
    "2 wrong usage; 130 interrupted twice, or while connecting.\n",
    {
        {"subprotocol", "LIST", "offer these, most wanted first: \"chat.v2, chat.v1\"", OPT_SUBPROTOCOL},
        {"origin", "ORIGIN", "value of the Origin header", OPT_ORIGIN},
        {"header", "'NAME: VALUE'", "send this header too; up to 32 times", OPT_HEADER},
        {"cookie", "COOKIES", "value of the Cookie header: \"a=1; b=2\"", OPT_COOKIE},
        {"user", "NAME[:PASSWORD]", "for Basic and Digest (no password: $THRUM_PASSWORD)", OPT_USER},
        {"bearer", "TOKEN", "for Bearer", OPT_BEARER},
        {"ca", "FILE", "trust these authorities (PEM), not the system's", OPT_CA},
        {"cert", "FILE", "our certificate, where the server asks for one", OPT_CERT},
        {"key", "FILE", "its key (default: in the same file)", OPT_KEY},
        {"server-name", "NAME", "to ask for and to check, in place of the URI's host", OPT_SERVER_NAME},
        {"insecure", NULL, "do not check who the server is: anybody could answer", OPT_INSECURE},
        {"proxy", "URL", "http, https, socks4, socks4a, socks5, socks5h; \"\" none", OPT_PROXY},
        {"source", "ADDRESS", "connect from this address", OPT_SOURCE},
        {"max-redirects", "N", "to follow (default 10; 0: none)", OPT_REDIRECTS},
        {"timeout", "SECONDS", "for connecting and the handshake (default 10)", OPT_TIMEOUT},
        {"max-size", "BYTES", "of a received message (default 1048576; 0: no limit)", OPT_MAX_SIZE},
        {"ping-interval", "SECONDS", "of silence before a ping (default 20; 0: none)", OPT_PING},
        {"linger", "SECONDS", "of silence to wait for once piped input has ended (default 0.5)", OPT_LINGER},
        {"binary", NULL, "send lines as binary messages, not as text", OPT_BINARY},
        {"no-compression", NULL, "do not agree on permessage-deflate", OPT_NO_COMPRESSION},
        {"trace", NULL, "show frames and the handshake on standard error", OPT_TRACE},
        {"quiet", NULL, "say nothing but messages and errors", 'q'},
        {"help", NULL, "this text", 'h'},
    }};

const struct command serve_command = {
    "serve",
    "thrum serve [OPTIONS] [URI]\n"
    "Runs an echo server and prints the URL that reaches it. URI: ws://host:port/ (port 0: any free one; "
    "host *:\n"
    "all addresses), wss://host:port/ or ws+unix:/socket/path. Default: ws://127.0.0.1:0/\n",
    "ws://127.0.0.1:0/",
    "Ctrl-C or SIGTERM tells every peer 1001 and waits for their answers; a second Ctrl-C ends at once.\n"
    "Exit status: 0 stopped by a signal; 1 cannot listen; 2 wrong usage; 130 interrupted twice.\n",
    {
        {"loops", "N", "serve on N event loops, not a thread each (0: one a processor)", OPT_LOOPS},
        {"publish", NULL, "a chat: a message goes to all others, not back; on 1 loop or N", OPT_PUBLISH},
        {"subprotocol", "LIST", "agree on one of these, most wanted first", OPT_SUBPROTOCOL},
        {"cert", "FILE", "for wss: our certificate and its chain (PEM)", OPT_CERT},
        {"key", "FILE", "its key (default: in the same file)", OPT_KEY},
        {"ca", "FILE", "for wss: a client must show a certificate of these", OPT_CA},
        {"timeout", "SECONDS", "for a client's handshake (default 10)", OPT_TIMEOUT},
        {"max-size", "BYTES", "of a received message (default 1048576; 0: no limit)", OPT_MAX_SIZE},
        {"ping-interval", "SECONDS", "of silence before a ping (default 20; 0: none)", OPT_PING},
        {"grace", "SECONDS", "for the peers' goodbye when told to stop (default 5)", OPT_GRACE},
        {"no-compression", NULL, "do not agree on permessage-deflate", OPT_NO_COMPRESSION},
        {"trace", NULL, "show frames and the handshake on standard error", OPT_TRACE},
        {"quiet", NULL, "say nothing but the URL and errors", 'q'},
        {"help", NULL, "this text", 'h'},
    }};

int args_main_help(FILE *to, int status)
{
    fputs("usage: thrum COMMAND [OPTIONS] [URI]\n"
          "  thrum connect ws://host/path   talk to a WebSocket server: lines in, messages out\n"
          "  thrum serve [ws://host:port/]  run an echo server\n"
          "  thrum COMMAND --help           the options of a command\n"
          "  thrum --version                the version of the library\n"
          "Exit status: 0 all went well, 1 something failed, 2 wrong usage.\n",
          to);
    return status;
}

static int help(const struct command *c)
{
    printf("usage: %sOptions:\n", c->summary);
    for (const struct option_row *o = c->options; o->name != NULL; o++) {
        char left[64];
        snprintf(left, sizeof left, "%s--%s%s%s", o->id < 256 ? "" : "    ", o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        if (o->id < 256)
            printf("  -%c, %-26s%s\n", o->id, left, o->text);
        else
            printf("  %-30s%s\n", left, o->text);
    }
    printf("%s", c->notes);
    return CLI_OK + 1;
}

static int wrong(const struct command *c, const char *what, const char *which)
{
    term_note("%s: %s%s; see thrum %s --help", c->name, what, which, c->name);
    return CLI_USAGE + 1;
}

/* Seconds, with a fraction if wished, to milliseconds; at most a day. */
static bool parse_seconds(const char *text, thrum_span *ms)
{
    char *end = NULL;
    const double s = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(s) || s < 0 || s > 86400)
        return false;
    *ms = (thrum_span)ceil(s * 1000);
    return true;
}

static bool parse_bytes(const char *text, uint64_t *bytes)
{
    char *end = NULL;
    const bool digits = *text != '\0' && strspn(text, "0123456789") == strlen(text) && strlen(text) < 19;
    const unsigned long long n = digits ? strtoull(text, &end, 10) : 0;
    *bytes = n == 0 ? THRUM_NO_LIMIT : n;
    return digits;
}

/* "Name: value"; the library judges what a name and a value may hold. */
static bool parse_header(struct args *a, char *text)
{
    char *colon = strchr(text, ':');
    if (colon == NULL || colon == text || a->header_count == CLI_MAX_HEADERS)
        return false;
    *colon = '\0';
    a->headers[2 * a->header_count] = text;
    a->headers[2 * a->header_count + 1] = colon + 1 + strspn(colon + 1, " ");
    a->header_count++;
    return true;
}

/* Zero is the library's word for "default", so a zero of the user's needs another one. */
static bool parse_span(const char *text, thrum_span *ms, thrum_span zero)
{
    if (!parse_seconds(text, ms))
        return false;
    if (*ms == 0)
        *ms = zero;
    return true;
}

static bool parse_count(const char *text, uint32_t *n)
{
    if (*text == '\0' || strspn(text, "0123456789") != strlen(text) || strlen(text) > 4)
        return false;
    *n = (uint32_t)strtoul(text, NULL, 10);
    return true;
}

static bool parse_redirects(const char *text, uint32_t *n)
{
    const bool good = parse_count(text, n);
    if (good && *n == 0)
        *n = THRUM_NO_REDIRECTS;
    return good;
}

/* 1,024 is as many as the library makes. */
static bool parse_loops(struct args *a, const char *text)
{
    a->on_loops = true;
    return parse_count(text, &a->loops) && a->loops <= 1024;
}

static bool set_publish(struct args *a)
{
    a->loops = a->on_loops ? a->loops : 1;
    a->on_loops = a->publish = true;
    return true;
}

/* A password on the command line can be read by every user of the machine, so it may stand in the
 * environment. */
static bool parse_user(struct args *a, char *text)
{
    char *colon = strchr(text, ':');
    const char *set = getenv("THRUM_PASSWORD");
    if (colon)
        *colon = '\0';
    a->user = text;
    a->password = colon ? colon + 1 : set ? set : "";
    return true;
}

static bool take_transport(struct args *a, int id, char *value)
{
    switch (id) {
    case OPT_CA: a->tls.ca_file = value; break;
    case OPT_CERT: a->tls.cert_file = value; break;
    case OPT_KEY: a->tls.key_file = value; break;
    case OPT_SERVER_NAME: a->tls.server_name = value; break;
    case OPT_INSECURE: a->tls.insecure = THRUM_ON; break;
    default: return false;
    }
    a->tls.size = sizeof a->tls;
    return true;
}

static bool take(struct args *a, int id, char *value)
{
    switch (id) {
    case OPT_PROXY: a->proxy = value; return true;
    case OPT_USER: return parse_user(a, value);
    case OPT_BEARER: a->bearer = value; return true;
    case OPT_COOKIE: a->cookie = value; return true;
    case OPT_SOURCE: a->source = value; return true;
    case OPT_REDIRECTS: return parse_redirects(value, &a->max_redirects);
    case OPT_LOOPS: return parse_loops(a, value);
    case OPT_PUBLISH: return set_publish(a);
    case OPT_SUBPROTOCOL: a->subprotocols = value; return true;
    case OPT_ORIGIN: a->origin = value; return true;
    case OPT_HEADER: return parse_header(a, value);
    case OPT_TIMEOUT: return parse_span(value, &a->open_timeout, 1);
    case OPT_MAX_SIZE: return parse_bytes(value, &a->max_message);
    case OPT_PING: return parse_span(value, &a->ping_interval, THRUM_FOREVER);
    case OPT_LINGER: return parse_seconds(value, &a->linger);
    case OPT_GRACE: return parse_seconds(value, &a->grace);
    case OPT_NO_COMPRESSION: a->compression = THRUM_OFF; return true;
    case OPT_BINARY: a->binary = true; return true;
    case OPT_TRACE: a->trace = true; return true;
    case 'q': a->quiet = true; return true;
    default: return take_transport(a, id, value);
    }
}

static void to_getopt(const struct command *c, struct option *out)
{
    size_t n = 0;
    for (const struct option_row *o = c->options; o->name != NULL; o++, n++)
        out[n] = (struct option){o->name, o->value ? required_argument : no_argument, NULL, o->id};
    out[n] = (struct option){NULL, 0, NULL, 0};
}

/* getopt moves the arguments about, so that the option's own text cannot be pointed at. */
static const char *name_of(const struct command *c, int id)
{
    for (const struct option_row *o = c->options; o->name != NULL; o++)
        if (o->id == id)
            return o->name;
    return "?";
}

static int take_uri(struct args *a, const struct command *c, int count, char **rest)
{
    if (count > 1)
        return wrong(c, "one URI is enough: ", rest[1]);
    a->uri = count == 1 ? rest[0] : c->uri_default;
    return a->uri == NULL ? wrong(c, "a URI is missing", ", for example ws://127.0.0.1:8080/") : 0;
}

int args_parse(struct args *a, const struct command *c, int argc, char **argv)
{
    struct option options[COMMAND_OPTIONS + 1];
    *a = (struct args){.linger = 500, .grace = 5000};
    to_getopt(c, options);
    opterr = 0;
    for (;;) {
        const int id = getopt_long(argc, argv, ":hq", options, NULL);
        if (id == -1)
            return take_uri(a, c, argc - optind, argv + optind);
        if (id == 'h')
            return help(c);
        if (id == '?')
            return wrong(c, "no such option: ", argv[optind - 1]);
        if (id == ':')
            return wrong(c, "a value is missing after --", name_of(c, optopt));
        if (!take(a, id, optarg))
            return wrong(c, "this is no value of --", name_of(c, id));
    }
}
