/*
 * rules: what must hold between several keys, or between several entries of a list.
 *
 * A rule looks only at values that are sound, so that one mistake is reported once.
 */
#ifndef SERVER_CONFIG_RULES_H
#define SERVER_CONFIG_RULES_H

#include <stdbool.h>
#include <stdint.h>

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
 * nothing is forwarded, a prefix to strip that the path starts with, requirements that require
 * something and name captures of the path, no preflights for an upstream that is not there.
 */
void rules_route(struct problems *problems, const struct record *route);

/* Something that the claim must be, that it can be, and whose type nobody can mistake. */
void rules_claim(struct problems *problems, const struct record *claim);

/* Origins where preflights are answered. */
void rules_cors(struct problems *problems, const struct record *cors);

/*
 * Between routes and what they name: issuers are configured ones, no path is one that resources
 * are described at, and no subtree is taken up by more specific routes as a whole. Called by
 * rules_root().
 */
void rules_routes(struct problems *problems, const struct record *root);

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

/* The same name. */
bool rules_unlike_role(struct problems *problems, const struct record *earlier,
                       const struct record *later);

/* The same URL. */
bool rules_unlike_resource(struct problems *problems, const struct record *earlier,
                           const struct record *later);

/* The same path, whatever its captures are called, with a host and a method that both take. */
bool rules_unlike_route(struct problems *problems, const struct record *earlier,
                        const struct record *later);

/* The same number for any two records that the rule above would report. */
uint64_t rules_like_listen(const struct record *record);
uint64_t rules_like_issuer(const struct record *record);
uint64_t rules_like_upstream(const struct record *record);
uint64_t rules_like_identity(const struct record *record);
uint64_t rules_like_role(const struct record *record);
uint64_t rules_like_resource(const struct record *record);
uint64_t rules_like_route(const struct record *record);

#endif
