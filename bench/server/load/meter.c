/* bench/server/load/meter.c: what the server spends, read by the generator itself, which knows to the
 * microsecond when the measured interval begins and ends.
 *
 * The total is the process's processor-time clock: nanoseconds, all threads. Its split into user and kernel
 * is not to be had that precisely: this kernel counts by its tick. So where the kernel permits it (root, or
 * perf_event_paranoid 0) the server's processor is sampled by its own timer at 10 kHz, in a phase of its own,
 * so that the total is not disturbed. The whole processor, not the process: a timer of the process's would be
 * set and cancelled at each of its sleeps, and the kernel's share would be the timer's.
 *
 * What falls due while the kernel has interrupts off, on its way out of a system call, is sampled at the
 * first instruction of the program that follows. That instruction is behind `syscall`, where no program
 * spends time of its own to speak of, so a sample there is the kernel's. */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 128, PERIOD_NS = 100000 };
static int sampler = -1;
static struct perf_event_mmap_page *ring;

static int64_t cpu_clock(pid_t pid)
{
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
        die("the server is gone: its processor time cannot be read");
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void read_ticks(struct meter *m)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)opt.server);
    FILE *f = fopen(path, "r");
    const size_t n = f != NULL ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f != NULL)
        fclose(f);
    text[n] = '\0';
    const char *p = strrchr(text, ')'); /* the name may hold anything */
    if (p == NULL ||
        sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &m->utime, &m->stime) != 2)
        die("%s cannot be read", path);
}

void meter_read(struct meter *m)
{
    *m = (struct meter){0};
    if (opt.server != 0) {
        read_ticks(m);
        m->cpu = cpu_clock(opt.server);
    }
    m->at = now_ns();
}

long meter_memory(const char *field)
{
    char path[64], line[256];
    long value = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)opt.server);
    FILE *f = opt.server != 0 ? fopen(path, "r") : NULL;
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, field, strlen(field)) == 0)
            value = strtol(line + strlen(field), NULL, 10);
    if (f != NULL)
        fclose(f);
    return value;
}

/* ---- samples --------------------------------------------------------------------------------------------
 */

bool meter_sample_begin(void)
{
    struct perf_event_attr a = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof a,
        .config = PERF_COUNT_SW_CPU_CLOCK,
        .sample_period = PERIOD_NS,
        .sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TID,
        .exclude_idle = 1,
    };
    if (opt.server == 0 || opt.share <= 0)
        return false;
    sampler = (int)syscall(SYS_perf_event_open, &a, -1, opt.server_cpu, -1, PERF_FLAG_FD_CLOEXEC);
    if (sampler < 0)
        return false;
    ring = mmap(NULL, (PAGES + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, sampler, 0);
    if (ring == MAP_FAILED) {
        close(sampler);
        return false;
    }
    return true;
}

/* Is the instruction before this one `syscall`? */
static bool leaves_kernel(int memory, uint64_t ip)
{
#ifdef __x86_64__
    static const uint8_t syscall_code[] = {0x0f, 0x05};
    uint8_t code[sizeof syscall_code];
    return pread(memory, code, sizeof code, (off_t)(ip - sizeof code)) == (ssize_t)sizeof code &&
           memcmp(code, syscall_code, sizeof code) == 0;
#else
    (void)memory;
    (void)ip;
    return false; /* so the user's share comes out too high, for all alike */
#endif
}

void meter_sample_end(uint64_t *user, uint64_t *kernel)
{
    struct sample {
        struct perf_event_header header;
        uint64_t ip;
        uint32_t pid, tid;
    } s;
    char path[64];
    ioctl(sampler, PERF_EVENT_IOC_DISABLE, 0);
    snprintf(path, sizeof path, "/proc/%d/mem", (int)opt.server);
    const int memory = open(path, O_RDONLY | O_CLOEXEC);
    *user = *kernel = 0;
    const uint64_t head = __atomic_load_n(&ring->data_head, __ATOMIC_ACQUIRE);
    const uint8_t *data = (const uint8_t *)ring + PAGE;
    for (uint64_t at = 0; at + sizeof s <= head; at += s.header.size) {
        /* Records are multiples of 8 bytes, so that the ring's end never cuts one of these. */
        memcpy(&s.header, data + at % (PAGES * PAGE), sizeof s.header);
        memcpy(&s.ip, data + (at + 8) % (PAGES * PAGE), sizeof s.ip);
        memcpy(&s.pid, data + (at + 16) % (PAGES * PAGE), 2 * sizeof s.pid);
        if (s.header.size == 0)
            break;
        if (s.header.type != PERF_RECORD_SAMPLE || s.pid != (uint32_t)opt.server)
            continue;
        if ((s.header.misc & PERF_RECORD_MISC_CPUMODE_MASK) == PERF_RECORD_MISC_USER &&
            !leaves_kernel(memory, s.ip))
            ++*user;
        else
            ++*kernel;
    }
    munmap(ring, (PAGES + 1) * PAGE);
    close(sampler);
    if (memory >= 0)
        close(memory);
}
