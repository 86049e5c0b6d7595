/* bench/server/load/load.c: main, and the line of figures: one object of JSON. */
#include "load.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

void die(const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    fputs("load: ", stderr);
    vfprintf(stderr, text, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void *must(void *p)
{
    if (p == NULL)
        die("no memory");
    return p;
}

static void prepare(void)
{
    struct rlimit files;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)opt.cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        die("processor %d cannot be had: %s", opt.cpu, strerror(errno));
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* no load without the one who measures it */
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (opt.conns + 16 > files.rlim_cur)
        die("%zu connections are more than the %llu descriptors that this system permits", opt.conns,
            (unsigned long long)files.rlim_cur);
}

static void report(const struct outcome *o)
{
    const double seconds = (double)(o->end.at - o->begin.at) / 1e9;
    const uint64_t n = o->run.messages;
    printf("{\"messages\": %llu, \"seconds\": %.6f, \"rate\": %.1f, ", (unsigned long long)n, seconds,
           (double)n / seconds);
    printf("\"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f, ", histogram_us(0.5), histogram_us(0.99),
           histogram_us(0.999));
    printf("\"cpu_us\": %.4f, \"user_ticks\": %llu, \"system_ticks\": %llu, ",
           (double)(o->end.cpu - o->begin.cpu) / 1e3 / (double)(n > 0 ? n : 1), o->end.utime - o->begin.utime,
           o->end.stime - o->begin.stime);
    if (o->sampled)
        printf("\"user_samples\": %llu, \"kernel_samples\": %llu, ", (unsigned long long)o->sampled_user,
               (unsigned long long)o->sampled_kernel);
    printf("\"rss_kib\": %ld, \"peak_kib\": %ld, \"bytes\": %llu, \"wire\": %llu, \"frames\": %llu, ", o->rss,
           o->peak, (unsigned long long)o->run.bytes, (unsigned long long)o->run.wire,
           (unsigned long long)o->run.frames);
    printf("\"sent\": %llu, \"open_s\": %.3f", (unsigned long long)o->sent, o->open_seconds);
    if (o->agreement.compressed)
        printf(", \"server_takeover\": %s, \"server_bits\": %d, \"client_takeover\": %s, \"client_bits\": %d",
               o->agreement.server_takeover ? "true" : "false", o->agreement.server_bits,
               o->agreement.client_takeover ? "true" : "false", o->agreement.client_bits);
    puts("}");
}

int main(int argc, char **argv)
{
    struct outcome o = {0};
    options_read(argc, argv);
    prepare();
    drive(&o);
    report(&o);
    return 0;
}
