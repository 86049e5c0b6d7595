/* handshake_fuzz.c: any bytes as a request, or as the answer to ours, whole and in pieces. */
#include "fuzz/fuzz_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t seed;
    (void)request;
    if (size < 5 || size > 1 << 17)
        return 0;
    memcpy(&seed, data + 1, 4);
    whole_and_cut(data[0] & 1, "", data + 5, size - 5, seed);
    return 0;
}
