/*
 * forward: the head of a request as the upstream gets it. Pure: nothing is read or sent here.
 *
 * The client's fields pass but for those that speak of its own connection, those that claim who is
 * calling or where the request came from, and those that would make an upstream judge another
 * request than the gate did. What the gate itself says is added last, so that nothing a client
 * sends, a Connection header included, can remove or double it.
 */
#ifndef SERVER_PROXY_FORWARD_H
#define SERVER_PROXY_FORWARD_H

#include "common/buf.h"
#include "server/config/config.h"
#include "server/proxy/field.h"
#include "server/token/principal.h"

/* What holds for every request of one configuration: which names are kept from upstreams. */
struct forward_rules;

/* Made once for a configuration, which it borrows. NULL: no memory. forward_rules_free(NULL) is
 * fine. Immutable: any thread may use it. */
struct forward_rules *forward_rules_new(const struct config *config);
void forward_rules_free(struct forward_rules *rules);
CLEANUP_DEFINE(struct forward_rules *, forward_rules_free)

enum forward_body { FORWARD_NO_BODY, FORWARD_LENGTH, FORWARD_CHUNKED };

/* A request that was allowed. Absent spans are left out. */
struct forward_request {
    struct span method;
    struct span path;     /* normalised: the one that was judged */
    struct span query;    /* without '?' */
    struct fields fields; /* of the client */
    struct span host;     /* the client's Host */
    enum forward_body body;
    uint64_t length;        /* with FORWARD_LENGTH */
    struct span client;     /* the peer's IP address in words; absent for a unix socket */
    bool from_proxy;        /* the peer is one of trusted_proxies */
    bool tls;               /* the client's connection is https */
    struct span request_id; /* never absent */
    struct span upgrade;    /* the protocols that are asked for, as an Upgrade header lists them */
    bool expects_continue;  /* the client waits for 100 before it sends the body */
    const struct config_route *route;
    const struct config_upstream *upstream;
    struct span target_host;           /* the Host to send where the upstream wants the target's */
    const struct principal *principal; /* NULL: anonymous */
    struct span assertion;             /* a signed JWT about the principal */
};

#define FORWARD_HEAD_MAX (256 * 1024)

/*
 * Append the whole head, its empty line included, to out, whose ceiling should be FORWARD_HEAD_MAX
 * at least; buf_ok() tells whether it fitted. HTTP/1.1, one Host, one framing; the connection to
 * the upstream is kept alive.
 */
void forward_add_head(const struct forward_rules *rules, const struct forward_request *request,
                      struct buf *out);

/*
 * May this field stand in the trailer section that an upstream gets? Not where the same field would
 * be kept from it in a head, nor those that RFC 9110 section 6.5.1 keeps out of trailers: framing,
 * routing, authentication, content format and controls.
 */
bool forward_takes_trailer(const struct forward_rules *rules, struct span name);

/*
 * Is this a field of a response that speaks of the upstream's own connection (RFC 9110 section
 * 7.6.1), by its name or because a Connection field among fields names it?
 */
bool forward_is_hop_by_hop(struct span name, struct fields fields);

/*
 * The protocols that a request asks to switch to: the value of its one Upgrade field where a
 * Connection field names it, and absent otherwise. h2c is never asked for on a client's behalf
 * (RFC 9113 section 3.1 gave it up, and requests could be hidden in it): it is taken for absent,
 * alone or in a list, as a server may ignore any upgrade (RFC 9110 section 7.8). Several Upgrade
 * fields: absent.
 */
struct span forward_upgrade(struct fields fields);

/*
 * Write the identity headers of principal ("name: value\r\n", in the order of the configuration) to
 * out. Values: visible ASCII stands for itself, but '%'; every other byte and '%' is
 * percent-encoded; items of lists are separated by one space. A claim that is a number or boolean
 * gives its JSON text, one that is an object or holds anything but strings gives base64url of its
 * compact JSON. What the principal does not have is left out.
 */
void forward_add_identity(const struct config *config, const struct principal *principal,
                          struct buf *out);

#endif
