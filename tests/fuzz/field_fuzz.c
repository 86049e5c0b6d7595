/* field_fuzz.c: any text as a list of extensions with parameters (RFC 6455 section 9.1): each member is
 * inside the text, and the walk ends. */
#include "wire/field.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    thrum_slice rest = {data, size}, item;
    size_t members = 0;
    while (field_list_next(&rest, &item)) {
        struct field_param p;
        if (item.n == 0 || ++members > size)
            abort();
        size_t params = 0;
        for (int r; (r = field_param_next(&item, &p)) != 0;) {
            if (r < 0)
                break;
            if (!field_is_token(p.name) || ++params > size)
                abort();
        }
    }
    (void)field_is_value((thrum_slice){data, size});
    return 0;
}
