/*
 * secret: what must not stay in memory.
 */
#ifndef COMMON_SECRET_H
#define COMMON_SECRET_H

#include <stddef.h>

/* Overwrite so that the compiler cannot leave it out. NULL is fine. */
void secret_wipe(void *bytes, size_t len);

#endif
