/*
 * diskcopy: the last good keys of an issuer, kept in the state directory so that a restart while
 * the issuer is down can go on serving.
 *
 * A copy is trusted as far as its owner, mode and age allow, and parsed as strictly as what comes
 * from the network. Refresh thread only: does file I/O.
 */
#ifndef SERVER_KEYS_DISKCOPY_H
#define SERVER_KEYS_DISKCOPY_H

#include <stdint.h>

#include "common/err.h"
#include "server/config/config.h"
#include "server/keys/keyset.h"

/*
 * Write the set with the time of its fetch to folder, mode 0600, replacing the old copy atomically:
 * after a crash there is the old copy or the new one. Returns 0 or ERR_SYSTEM, ERR_MEMORY.
 */
int diskcopy_save(const char *folder, const struct config_issuer *issuer, const struct keyset *set,
                  int64_t fetched_wall, struct err_text *err) MUST_CHECK;

/*
 * Read the copy for this issuer and source back. Refused: a file that another user owns or may
 * write, a copy from another source than the configured one, from the future, or older than
 * max_stale (a withdrawn key must not live for ever). Returns 0 with a reference in *ret, or a
 * negative error; err.text is "" where there simply is no copy.
 */
int diskcopy_load(const char *folder, const struct config_issuer *issuer, int64_t now_wall,
                  struct keyset **ret, int64_t *ret_fetched_wall, struct err_text *err) MUST_CHECK;

#endif
