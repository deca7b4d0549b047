/*
 * keys: the keys of the one issuer that a token names, for somebody who asks about it.
 */
#ifndef SERVER_EXPLAIN_KEYS_H
#define SERVER_EXPLAIN_KEYS_H

#include "server/keys/keyring.h"

/*
 * The index of the issuer that a token claims to come from, unproven; -1 where it names none that
 * is configured.
 */
int explain_find_issuer(const struct config *config, struct span token);

/* A ring with the keys in a file for that issuer, or for nobody where it is -1. */
int explain_keys_from_file(struct config *config, int issuer, const char *path,
                           struct keyring **ret, struct err_text *err) MUST_CHECK;

/*
 * A ring with the last good keys that the daemon keeps in its state directory, or without any.
 * Nothing is fetched.
 */
int explain_keys_from_disk(struct config *config, int issuer, struct keyring **ret,
                           struct err_text *err) MUST_CHECK;

/*
 * The same with keys that are fetched now, as the daemon would, within fetch.timeout. What is wrong
 * is logged; then the ring has none. Nothing on disk changes.
 */
int explain_keys_from_issuer(struct config *config, int issuer, struct keyring **ret,
                             struct err_text *err) MUST_CHECK;

#endif
