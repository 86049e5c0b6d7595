/* frame_fuzz.c: any bytes behind a good handshake, to a server and to a client, whole and in pieces. Byte 0
 * chooses the role, bytes 1-4 the cuts. */
#include "fuzz/fuzz_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t seed;
    if (size < 5 || size > 1 << 16)
        return 0;
    memcpy(&seed, data + 1, 4);
    bool server = data[0] & 1;
    whole_and_cut(server, server ? request : answer(), data + 5, size - 5, seed);
    return 0;
}
