/*
 * rules: what must hold between several keys, or between several entries of a list.
 *
 * A rule looks only at values that are sound, so that one mistake is reported once.
 */
#ifndef SERVER_CONFIG_RULES_H
#define SERVER_CONFIG_RULES_H

#include <stdbool.h>

struct problems;
struct record;

/* Report what is wrong between the keys of one entry. */

/* A certificate and its key, or neither. */
void rules_tls(struct problems *problems, const struct record *tls);

/* A token is part of a header. */
void rules_limits(struct problems *problems, const struct record *limits);

/* No keys by plain http, an audience, one way to the keys, and no gap between refreshes. */
void rules_issuer(struct problems *problems, const struct record *issuer);

/* No files for TLS that no target speaks. */
void rules_upstream(struct problems *problems, const struct record *upstream);

/*
 * One of respond and upstream, only methods that respond answers, nothing about forwarding where
 * nothing is forwarded, and a prefix to strip that the path starts with.
 */
void rules_route(struct problems *problems, const struct record *route);

/*
 * Between sections: upstreams that routes name exist, the assertion and each identity header are
 * fields of their own, the admin listener is not one of the others.
 */
void rules_root(struct problems *problems, const struct record *root);

/* Report an entry that must not stand beside an earlier one, and return true; else false. */

/* The same address. */
bool rules_unlike_listen(struct problems *problems, const struct record *earlier,
                         const struct record *later);

/* The same issuer, byte by byte, as iss is compared. */
bool rules_unlike_issuer(struct problems *problems, const struct record *earlier,
                         const struct record *later);

/* The same name. */
bool rules_unlike_upstream(struct problems *problems, const struct record *earlier,
                           const struct record *later);

/* The same field, as identity_header_same() compares. */
bool rules_unlike_identity(struct problems *problems, const struct record *earlier,
                           const struct record *later);

/* The same path with a method that both take. */
bool rules_unlike_route(struct problems *problems, const struct record *earlier,
                        const struct record *later);

#endif
