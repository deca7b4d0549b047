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

/*
 * What holds for every request of one configuration: which names are kept from upstreams, and what
 * the identity headers tell.
 */
struct forward_rules;

/*
 * Made once for a configuration, which it borrows. NULL: no memory. forward_rules_free(NULL) is
 * fine. Immutable: any thread may use it.
 */
struct forward_rules *forward_rules_new(const struct config *config);
void forward_rules_free(struct forward_rules *rules);
CLEANUP_DEFINE(struct forward_rules *, forward_rules_free)

enum forward_body { FORWARD_NO_BODY, FORWARD_LENGTH, FORWARD_CHUNKED };

/*
 * A request that was allowed. Absent spans are left out. Method, path, query and host are what the
 * door and target_parse() let through; they are not looked at again.
 */
struct forward_request {
    struct span method;
    struct span path;     /* normalised: the one that was judged */
    struct span query;    /* without '?'; empty is not absent */
    struct fields fields; /* of the client */
    struct span host;     /* the client's Host; absent where HTTP/1.0 sent none */
    enum forward_body body;
    uint64_t length;        /* with FORWARD_LENGTH */
    struct span client;     /* the peer's IP address in words; absent for a unix socket */
    bool from_proxy;        /* the peer is one of trusted_proxies */
    bool tls;               /* the client's connection is https */
    struct span request_id; /* never absent */
    struct span upgrade;    /* as forward_upgrade() gave it */
    bool expects_continue;  /* the client waits for 100 before it sends the body */
    const struct config_route *route;
    const struct config_upstream *upstream;
    struct span target_host; /* the Host to send where the upstream wants the target's, or the
                                client sent none; never absent */
    const struct principal *principal; /* NULL: anonymous */
    struct span assertion;             /* a signed JWT about the principal */
};

#define FORWARD_HEAD_MAX (256 * 1024)

/*
 * Append the whole head, its empty line included, to out, whose ceiling should be FORWARD_HEAD_MAX
 * at least; buf_ok() tells whether it fitted. HTTP/1.1, one Host, one framing; the connection to
 * the upstream is kept alive. Any thread.
 *
 * Names are compared by their letters and digits alone, without regard to case, for many servers
 * take X_Auth_User and X-Auth-User for one (CGI does, RFC 3875 section 4.1.18).
 * - Dropped: what speaks of the client's connection, and every field that a Connection field names
 *   (one that names more than 64 is taken to name all); what claims who is calling, another method
 *   or another target than the one that was judged; fields whose name is no token, or whose value
 *   holds CR, LF or NUL.
 * - From trusted proxies alone come fields that tell where a request came from, and only in the
 *   spelling that they are known by. No Connection field removes these. X-Forwarded-For and
 *   Forwarded get our hop appended; of X-Forwarded-Proto and -Host ours are sent where there is
 *   none, or where there are several that differ. From others all of these are ours.
 * - Authorization passes once, where the route has forward_token; no Connection field removes it.
 * - All else passes as it came, in order, repeated fields repeated.
 */
void forward_add_head(const struct forward_rules *rules, const struct forward_request *request,
                      struct buf *out);

/*
 * May this field stand in the trailer section that an upstream gets? Not where the same field would
 * be kept from it in a head, whoever the peer is, nor those that RFC 9110 section 6.5.1 keeps out
 * of trailers: framing, routing, authentication, content format, conditions and controls. Any
 * thread.
 */
bool forward_takes_trailer(const struct forward_rules *rules, struct span name);

/*
 * Is this a field of a message that speaks of the sender's own connection (RFC 9110 section 7.6.1),
 * by its name or because a Connection field among fields names it? Any thread.
 */
bool forward_is_hop_by_hop(struct span name, struct fields fields);

/*
 * The protocols that a request asks to switch to: the value of its one Upgrade field where a
 * Connection field names it, and absent otherwise. Absent too where the value is no list of
 * protocols (RFC 9110 section 7.8), where there are several Upgrade fields, and where h2c, HTTP or
 * TLS is among the protocols: RFC 9113 section 3.1 gave h2c up, and requests that nobody judges
 * could be hidden in any of these. A server may ignore every upgrade. Of an HTTP/1.0 request it
 * must not be asked. Any thread.
 */
struct span forward_upgrade(struct fields fields);

/*
 * Write the identity headers of principal ("name: value\r\n", in the order of the configuration) to
 * out; nothing for NULL. Values: visible ASCII stands for itself, but '%'; every other byte and '%'
 * is percent-encoded; items of lists are separated by one space. A claim that is a number or
 * boolean gives its JSON text, one that is an object or an array that holds anything but strings
 * gives base64url of its compact JSON. What the principal does not have, or what is empty, is left
 * out. buf_ok() tells whether all of it was written. Any thread.
 */
void forward_add_identity(const struct forward_rules *rules, const struct principal *principal,
                          struct buf *out);

#endif
