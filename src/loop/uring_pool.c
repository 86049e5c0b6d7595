/* uring_pool.c: see uring_int.h. */
#ifdef THRUM_URING
#    include "loop/uring_int.h"

#    include "base/mem.h"
#    include "base/sys.h"
#    include <errno.h>

enum { PAGE = 4096, LINE = 64, GROUP = 0 };

static void *aligned(void *p, size_t to)
{
    return (void *)(((uintptr_t)p + to - 1) / to * to);
}

uint8_t *pool_bytes(const struct pool *l, unsigned id)
{
    return (uint8_t *)aligned(l->blocks[id / POOL_BLOCK], LINE) + (size_t)(id % POOL_BLOCK) * POOL_STRIDE;
}

static void give(struct pool *l, unsigned id, int at)
{
    io_uring_buf_ring_add(l->ring, pool_bytes(l, id), POOL_BYTES, (unsigned short)id,
                          io_uring_buf_ring_mask(POOL_MAX), at);
}

static bool grow(struct pool *l)
{
    if (l->nblocks == POOL_BLOCKS)
        return false;
    uint8_t *block = mem_alloc((size_t)POOL_BLOCK * POOL_STRIDE + LINE);
    if (block == NULL)
        return false;
    const unsigned first = l->nblocks * POOL_BLOCK;
    l->blocks[l->nblocks++] = block;
    for (unsigned i = 0; i < POOL_BLOCK; i++)
        give(l, first + i, (int)i);
    io_uring_buf_ring_advance(l->ring, POOL_BLOCK);
    return true;
}

static int attach(const struct pool *l, int ring_fd)
{
    struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)l->ring, .ring_entries = POOL_MAX, .bgid = GROUP};
    return sys.uring_register((unsigned)ring_fd, IORING_REGISTER_PBUF_RING, &reg, 1);
}

static int detach(int ring_fd)
{
    struct io_uring_buf_reg reg = {.bgid = GROUP};
    return sys.uring_register((unsigned)ring_fd, IORING_UNREGISTER_PBUF_RING, &reg, 1);
}

int pool_open(struct pool *l, int ring_fd)
{
    l->ring_memory = mem_zalloc(POOL_MAX * sizeof(struct io_uring_buf) + PAGE);
    if (l->ring_memory == NULL)
        return ENOMEM;
    l->ring = aligned(l->ring_memory, PAGE);
    int r = attach(l, ring_fd);
    if (r == 0 && grow(l))
        return 0;
    if (r == 0)
        pool_close(l, ring_fd);
    pool_free(l);
    return r == 0 || r == -ENOMEM ? ENOMEM : ENOSYS;
}

void pool_close(struct pool *l, int ring_fd)
{
    if (l->ring != NULL)
        (void)detach(ring_fd);
}

void pool_trim(struct pool *l, int ring_fd)
{
    if (l->nblocks > 1 && !l->closed)
        l->closed = detach(ring_fd) == 0;
}

bool pool_reopen(struct pool *l, int ring_fd)
{
    io_uring_buf_ring_init(l->ring);
    if (attach(l, ring_fd) != 0)
        return false;
    while (l->nblocks > 1)
        mem_free(l->blocks[--l->nblocks]);
    for (unsigned i = 0; i < POOL_BLOCK; i++)
        give(l, i, (int)i);
    io_uring_buf_ring_advance(l->ring, POOL_BLOCK);
    l->closed = l->dry = false;
    return true;
}

void pool_free(struct pool *l)
{
    while (l->nblocks > 0)
        mem_free(l->blocks[--l->nblocks]);
    mem_free(l->ring_memory);
    l->ring = l->ring_memory = NULL;
}

void pool_hold(struct pool *l, unsigned id)
{
    l->held[l->nheld++] = (uint16_t)id;
}

void pool_refill(struct pool *l)
{
    if (l->closed) {
        l->nheld = 0; /* all are given again when it opens */
        return;
    }
    if (l->dry)
        (void)grow(l);
    for (unsigned i = 0; i < l->nheld; i++)
        give(l, l->held[i], (int)i);
    if (l->nheld > 0)
        io_uring_buf_ring_advance(l->ring, (int)l->nheld);
    l->nheld = 0;
    l->dry = false;
}
#endif
