#include "common/secret.h"

#include <string.h>

void secret_wipe(void *bytes, size_t len) {
    if (bytes) explicit_bzero(bytes, len);
}
