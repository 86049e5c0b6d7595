/* bench/server/load/options.c: the command line. */
#include "load.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options opt = {
    .conns = 1, .depth = 1, .size = 32, .warm = 0.3, .run = 1, .share = 0.3, .cpu = 1, .server_cpu = 0};

static const char usage[] =
    "usage: load PORT [--conns N] [--depth N] [--size BYTES] [--tls] [--deflate] [--broadcast] [--raw]\n"
    "            [--warm S] [--run S] [--share S] [--server PID] [--cpu N] [--server-cpu N]\n"
    "--depth     messages in flight on each connection: sent as one burst, the next when all are back\n"
    "--deflate   JSON of about --size bytes, compressed as a browser would\n"
    "--broadcast one more connection sends, one message at a time; each must come to all\n"
    "--raw       no handshake, and the server sends back what it gets, masks and all\n"
    "--share     seconds of a phase of its own that samples where the server is, in user space or the "
    "kernel\n"
    "--server    whose processor time and memory are measured\n";

static double number(const char *text)
{
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end != '\0' || value < 0)
        die("%s is not a number\n%s", text, usage);
    return value;
}

enum { CONNS = 1, DEPTH, SIZE, TLS, DEFLATE, BROADCAST, RAW, WARM, RUN, SHARE, SERVER, CPU, SERVER_CPU };
static const struct option names[] = {{"conns", 1, NULL, CONNS},
                                      {"depth", 1, NULL, DEPTH},
                                      {"size", 1, NULL, SIZE},
                                      {"tls", 0, NULL, TLS},
                                      {"deflate", 0, NULL, DEFLATE},
                                      {"broadcast", 0, NULL, BROADCAST},
                                      {"raw", 0, NULL, RAW},
                                      {"warm", 1, NULL, WARM},
                                      {"run", 1, NULL, RUN},
                                      {"share", 1, NULL, SHARE},
                                      {"server", 1, NULL, SERVER},
                                      {"cpu", 1, NULL, CPU},
                                      {"server-cpu", 1, NULL, SERVER_CPU},
                                      {NULL, 0, NULL, 0}};

static void take(int name)
{
    switch (name) {
    case CONNS: opt.conns = (size_t)number(optarg); break;
    case DEPTH: opt.depth = (size_t)number(optarg); break;
    case SIZE: opt.size = (size_t)number(optarg); break;
    case TLS: opt.tls = true; break;
    case DEFLATE: opt.deflate = true; break;
    case BROADCAST: opt.broadcast = true; break;
    case RAW: opt.raw = true; break;
    case WARM: opt.warm = number(optarg); break;
    case RUN: opt.run = number(optarg); break;
    case SHARE: opt.share = number(optarg); break;
    case SERVER: opt.server = (pid_t)number(optarg); break;
    case CPU: opt.cpu = (int)number(optarg); break;
    case SERVER_CPU: opt.server_cpu = (int)number(optarg); break;
    default: die("%s", usage);
    }
}

void options_read(int argc, char **argv)
{
    int name;
    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1)
        take(name);
    if (optind + 1 != argc)
        die("%s", usage);
    opt.port = (unsigned)number(argv[optind]);
    if (opt.conns == 0 || opt.depth == 0 || opt.size == 0)
        die("a connection, a message and a byte are the least of --conns, --depth and --size");
    if (opt.raw && (opt.tls || opt.deflate || opt.broadcast))
        die("--raw goes with plain echoes only");
    if (opt.broadcast && opt.depth != 1)
        die("--broadcast sends one message at a time: no --depth");
}
