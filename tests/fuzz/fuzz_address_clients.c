/* Who is connected at a service address, as a peer tells it: what decodes encodes to the same
 * bytes, and no table takes harm. */
#include <string.h>

#include "base/assert.h"
#include "daemon/address_clients.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct address_clients_msg msg;
static struct address_clients table;
static struct address_clients former;

static void check_table(void)
{
    ts_assert(table.top <= ADDRESS_CLIENTS_MAX);
    ts_assert(table.top == 0 || table.at[table.top - 1].port != 0);
    for (size_t i = table.top; i < ADDRESS_CLIENTS_MAX; i++) {
        ts_assert(table.at[i].port == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t again[ADDRESS_CLIENTS_BYTES_MAX];
    for (int v6 = 0; v6 < 2; v6++) {
        if (address_clients_decode(&msg, v6 != 0, (struct ts_bytes){data, size}) != TS_OK) {
            continue;
        }
        address_clients_take(&table, &former, &msg);
        check_table();
        struct ts_writer w = ts_writer_init(again, sizeof(again));
        enum ts_err err = address_clients_encode(&msg, &w);
        ts_assert(err == TS_OK && w.len == size && memcmp(again, data, size) == 0);
    }
    return 0;
}
