/*
 * judge: what becomes of a request, without a socket. A configuration read from YAML, keys put in
 * by hand, an evidence with a clock of our own; then the stairs: authenticate() and authorize().
 */
#ifndef TESTS_UNIT_SERVER_TOKEN_JUDGE_H
#define TESTS_UNIT_SERVER_TOKEN_JUDGE_H

#include "server/keys/keyring.h"
#include "server/token/cache.h"
#include "server/token/deny.h"
#include "server/token/verifier.h"
#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define JUDGE_ISSUER "https://idp.example"
#define JUDGE_NOW 1700000000 /* 2023-11-14T22:13:20Z */

struct judge {
    struct config *config;
    struct keyring *ring;
    struct routes *routes;
    const char *path; /* "/", "/read" (requires the scope read) or "/open" (anonymous: allow) */
    int64_t now;      /* wall clock, seconds; tests move it */
    int64_t now_ms;   /* monotonic */
    size_t token_max;
    struct verifier *verifier;
    struct token_cache *cache;   /* NULL unless the test makes one; judge_done() frees it */
    struct token_cache *expired; /* the same */
    struct deny_list *denied;    /* NULL unless judge_deny() was called */
    uint64_t denied_generation;
};

/*
 * One issuer, JUDGE_ISSUER, with the audience api and these further options of its entry in YAML
 * flow style ("leeway: 0, scopes: [a]"; "audiences: [x]" replaces ours), and the keys of jwks,
 * which is freed. NULL: no keys yet.
 */
void judge_open(struct judge *judge, const char *options, char *jwks);

/* The same for a whole configuration; the keys of its issuers in their order. */
void judge_open_yaml(struct judge *judge, const char *yaml, char *const *jwks, size_t count);

/* With the RSA key "r" and the P-256 key "e", and no options. */
void judge_open_usual(struct judge *judge);

/* From now on the first issuer has these keys (the text is freed), as after a refresh. */
void judge_renew_keys(struct judge *judge, char *jwks);

/* From now on this configuration holds, as after a reload. Keys go over from the old one. */
void judge_reload(struct judge *judge, const char *options);

/* From now on the deny list is this text, which must be sound. */
void judge_deny(struct judge *judge, const char *text);

void judge_done(struct judge *judge);

struct verdict {
    unsigned status;    /* 200: let through */
    const char *reason; /* the name of the refusal's reason; "" where let through */
    char text[512];     /* its description */
    bool needs_keys;    /* newer keys might change it */
    char issuer[128];   /* of the principal, or of the entry that lacks keys */
    char user[256];     /* of the principal, as are the lists, separated by "|" */
    char scopes[512];
    char roles[512];
};

/* Judge a value of the Authorization header that was sent count times. */
struct verdict judge_header(const struct judge *judge, struct span value, size_t count);

/* Judge "Bearer " and the token, which is freed. */
struct verdict judge_token(const struct judge *judge, char *token);

/*
 * The same, and the verdict must have this status and reason (200 and ""). label names the case in
 * the message. Checks of every refusal: it quotes nothing of the token, and OpenSSL's queue is
 * empty.
 */
struct verdict judge_expect(const struct judge *judge, const char *label, char *token,
                            unsigned status, const char *reason);

/*
 * Good claims at JUDGE_NOW, changed: pairs of a member and its value as raw JSON ("" removes it),
 * ended by NULL. Nothing is parsed, so that a value may be anything. The caller frees the text.
 */
char *judge_claims(const char *member, ...) __attribute__((sentinel));

/* {"alg":alg,"kid":kid, then more}. kid may be NULL; more is raw members or "". */
char *judge_header_text(const char *alg, const char *kid, const char *more);

/* Good claims with one or two changes, under a good RS256 header of the key "r". */
char *judge_mint(const char *member, const char *raw);
char *judge_mint_two(const char *member, const char *raw, const char *other, const char *other_raw);

/* Claims as a text, under a good RS256 header. Frees the claims. */
char *judge_mint_claims(char *claims);

/* Good claims under this very header, signed with alg by key. */
char *judge_mint_header(const char *header, const char *alg, EVP_PKEY *key);

#endif
