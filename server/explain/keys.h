/*
 * keys: the keys of the one issuer that a token names, for somebody who asks about it, and where
 * they come from.
 */
#ifndef SERVER_EXPLAIN_KEYS_H
#define SERVER_EXPLAIN_KEYS_H

#include "server/explain/report.h"
#include "server/keys/keyring.h"

#define EXPLAIN_NOTES_MAX 8

struct explain_keys {
    struct keyring *ring; /* of all issuers; one of them has keys, or none */
    size_t issuer;        /* in the ring; ISSUER_NONE where the token names none that it has */
    struct explain_note notes[EXPLAIN_NOTES_MAX];
    size_t count;
};

/*
 * No keys yet, for the issuer that the token claims to come from, unproven. Returns 0 with *ret for
 * explain_keys_done(), or ERR_MEMORY.
 */
int explain_keys_init(struct config *config, struct span token,
                      struct explain_keys *ret) MUST_CHECK;
void explain_keys_done(struct explain_keys *keys);

/* The keys in a file; an error names it. */
int explain_keys_from_file(struct explain_keys *keys, const char *path,
                           struct err_text *err) MUST_CHECK;

/*
 * The last good keys that the daemon keeps in its state directory, or those of jwks_file. Nothing
 * is fetched; that there are none, and why, is a note.
 */
int explain_keys_from_disk(struct explain_keys *keys, struct err_text *err) MUST_CHECK;

/*
 * Keys that are fetched now, as the daemon would, within fetch.timeout. Where that fails, what
 * there was before stays, as in the daemon, and a note says why. Nothing on disk changes.
 */
int explain_keys_from_issuer(struct explain_keys *keys, struct err_text *err) MUST_CHECK;

#endif
