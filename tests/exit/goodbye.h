/* goodbye.h: how the peer of a program that ends reads; goodbye_test.c, loop_goodbye_test.c. */
#ifndef TESTS_EXIT_GOODBYE_H
#define TESTS_EXIT_GOODBYE_H

#include "exit_test.h"

enum { FILL = 0x5a };
static const uint8_t answer[] = {0x03, 0xe9};
static size_t message_size;

static inline void read_goodbye(int peer)
{
    uint8_t first, body[2];
    uint64_t n;
    check(get_head(peer, &first, &n) && first == 0x88 && n == 2);
    check(get(peer, body, 2) && memcmp(body, answer, 2) == 0);
}

/* True when the stream ended in a goodbye; false when it was cut, and then inside a frame or behind a whole
 * one. */
static inline bool read_all(int peer)
{
    static uint8_t page[1 << 16];
    uint8_t first;
    uint64_t n;
    while (get_head(peer, &first, &n)) {
        if (first == 0x88) {
            uint8_t body[3];
            check(n == 2 && get(peer, body, 2) && memcmp(body, answer, 2) == 0);
            check(!get(peer, body, 1));
            return true;
        }
        check(first == 0x82 && n == message_size);
        while (n > 0) {
            size_t piece = n < sizeof page ? (size_t)n : sizeof page;
            memset(page, FILL, piece);
            bool whole = get(peer, page, piece);
            for (size_t i = 0; i < piece; i++) /* what was cut off stands as it was filled */
                check(page[i] == FILL);
            if (!whole)
                return false;
            n -= piece;
        }
    }
    return false;
}

#endif
