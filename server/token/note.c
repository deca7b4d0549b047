#include "server/token/note.h"

#include <stdlib.h>

#include "common/base64url.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/jtree.h"
#include "common/url.h"
#include "server/keys/discovery.h"
#include "server/token/claims.h"
#include "server/token/deny.h"
#include "server/token/principal_make.h"

#define WORDS_MAX ((size_t)400)

static const char *text_of(const struct buf *buf) {
    return buf->len ? buf->data : "";
}

/* --- structure and header ------------------------------------------------------------------ */

/* The step of jwt_parse() that a refusal comes from. */
static const char *step_of(enum reason reason) {
    switch (reason) {
    case REASON_HEADER_NOT_ACCEPTED:
        return "header";
    case REASON_ALGORITHM_NOT_ALLOWED:
        return "algorithm";
    case REASON_TYPE_NOT_ACCEPTED:
        return "type";
    default:
        return "structure";
    }
}

/* The first part of a token as an object; NULL where it is none. */
static struct jtree *read_header(struct span token) {
    struct span first = span_until(token, span_find(token, '.'));
    struct jtree *header = NULL;
    size_t len;

    unsigned char *bytes = malloc(base64url_decoded_max(first.len) + 1);
    if (!bytes) return NULL;
    if (base64url_decode(first, bytes, &len) < 0 ||
        jtree_read_object((struct span){(char *)bytes, len}, &header, NULL) < 0)
        header = NULL;
    free(bytes);
    return header;
}

static void add_members(struct buf *out, const struct jnode *header) {
    static const char *const names[] = {"alg", "kid", "typ", "cty", "enc", "zip", "crit"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct jnode *member = jnode_find(header, names[i]);
        if (!member) continue;
        buf_addf(out, "%s%s", out->len ? ", " : "", names[i]);
        if (jnode_is(member, JTYPE_STRING))
            buf_addf(out, " %.*s", SPAN_PRINTF(span_until(jnode_text(member), 64)));
    }
}

void note_unreadable(const struct trace *trace, struct span token, const struct refusal *refusal) {
    CLEANUP(jtree_unrefp) struct jtree *header = read_header(token);
    CLEANUP(buf_done) struct buf members = buf_make(WORDS_MAX);

    if (header) add_members(&members, header->root);
    if (members.len) TRACE_GOOD(trace, "header", "it says: %s", text_of(&members));
    TRACE_BAD(trace, step_of(refusal->reason), "%s", refusal->text);
}

void note_header(const struct trace *trace, const struct jwt *jwt) {
    static const char *const types[] = {
        [JWT_TYPE_ABSENT] = "no typ", [JWT_TYPE_JWT] = "typ JWT", [JWT_TYPE_AT_JWT] = "typ at+jwt"};
    struct span kid = jwt->jws.kid;
    TRACE_GOOD(trace, "header", "alg %s, %s%.*s, %s", algorithm_info(jwt->jws.algorithm)->name,
               kid.ptr ? "kid " : "no kid", SPAN_PRINTF(kid), types[jwt->type]);
}

/* --- issuer and key ------------------------------------------------------------------------ */

static bool same_site(struct span a, struct span b) {
    struct url one, other;
    return url_parse(a, &one, NULL) == 0 && url_parse(b, &other, NULL) == 0 &&
           url_same_origin(&one, &other);
}

/* Issuers with several servers or tenants tell them apart by the path. */
static const char *likeness(struct span configured, struct span found) {
    const char *miss = issuer_near_miss(configured, found);
    if (*miss) return miss;
    return same_site(configured, found) ? "another server or tenant of the same site" : "";
}

void note_unknown_issuer(const struct trace *trace, struct span iss, const struct keyring *ring) {
    CLEANUP(buf_done) struct buf list = buf_make(WORDS_MAX);

    for (size_t i = 0; i < ring->count; i++) {
        const char *issuer = ring->entries[i].issuer->issuer;
        const char *miss = likeness(span_of(issuer), iss);
        if (i < 4) buf_addf(&list, "%s%s", i ? ", " : "", issuer);
        if (i == 4) buf_add_text(&list, ", ...");
        if (!*miss) continue;
        TRACE_BAD(trace, "issuer", "%.*s is not configured; %s is: %s", SPAN_PRINTF(iss), issuer,
                  miss);
        return;
    }
    TRACE_BAD(trace, "issuer", "%.*s is not configured; configured: %s", SPAN_PRINTF(iss),
              text_of(&list));
}

void note_key(const struct trace *trace, const struct jws *jws, const struct keyring_entry *entry,
              const struct key *key, const struct refusal *refusal) {
    CLEANUP(buf_done) struct buf kids = buf_make(WORDS_MAX);

    for (size_t i = 0; entry->keys && i < entry->keys->count; i++)
        buf_addf(&kids, "%s%s", i ? ", " : "",
                 entry->keys->keys[i].kid ? entry->keys->keys[i].kid : "(one without kid)");
    if (key)
        TRACE_GOOD(trace, "key", "%s%.*s%s",
                   jws->kid.ptr ? "found by its kid " : "the one that fits", SPAN_PRINTF(jws->kid),
                   jws->kid.ptr ? "" : "; the token names none");
    else
        TRACE_BAD(trace, "key", "%s; it names %s%.*s; the issuer has: %s", refusal->text,
                  jws->kid.ptr ? "kid " : "no kid", SPAN_PRINTF(jws->kid),
                  entry->keys ? text_of(&kids) : "no keys yet");
}

void note_unproven(const struct trace *trace, const struct jwt *jwt,
                   const struct config_issuer *issuer, int64_t now, const char *why) {
    struct validity validity;
    struct refusal refusal;

    TRACE_BAD(trace, "signature", "%s; what follows is only what the token says of itself", why);
    bool hold = claims_check(jwt, issuer, now, trace, &validity, &refusal);
    (void)hold; /* whatever they are, nobody has vouched for them */
    note_principal(trace, jwt, issuer);
}

/* --- who it is ----------------------------------------------------------------------------- */

/* The claims that are there, of those that are looked at; or all of those, where none is. */
static void add_claims(struct buf *out, const struct strings *names,
                       const struct principal *principal) {
    bool found = false;

    for (size_t i = 0; i < names->count; i++) {
        if (!principal_claim(principal, names->items[i])) continue;
        buf_addf(out, "%s%s", found ? ", " : "from ", names->items[i]);
        found = true;
    }
    for (size_t i = 0; !found && i < names->count; i++)
        buf_addf(out, "%s%s", i ? ", " : "the token has no ", names->items[i]);
}

static void note_words(const struct trace *trace, const char *step, const struct span *words,
                       size_t count, const char *from) {
    CLEANUP(buf_done) struct buf list = buf_make(TRACE_TEXT_MAX);

    for (size_t i = 0; i < count; i++)
        buf_addf(&list, "%s%.*s", i ? " " : "", SPAN_PRINTF(words[i]));
    TRACE_GOOD(trace, step, "%s%s%s%s", count ? text_of(&list) : "none", *from ? " (" : "", from,
               *from ? ")" : "");
}

static void note_scopes(const struct trace *trace, const struct principal *principal) {
    CLEANUP(buf_done) struct buf from = buf_make(WORDS_MAX);
    const char *claim = principal_scope_claim(principal);
    size_t count;

    if (claim)
        buf_addf(&from, "from %s", claim);
    else
        add_claims(&from, &principal_issuer(principal)->scope_claims, principal);
    const struct span *scopes = principal_scopes(principal, &count);
    note_words(trace, "scopes", scopes, count, text_of(&from));
}

static void note_roles(const struct trace *trace, const struct principal *principal) {
    CLEANUP(buf_done) struct buf from = buf_make(WORDS_MAX);
    size_t count;

    add_claims(&from, &principal_issuer(principal)->role_claims, principal);
    const struct span *roles = principal_roles(principal, &count);
    note_words(trace, "roles", roles, count, text_of(&from));
}

void note_principal(const struct trace *trace, const struct jwt *jwt,
                    const struct config_issuer *issuer) {
    CLEANUP(principal_unrefp) struct principal *principal = NULL;
    struct refusal refusal;

    if (!principal_make(jwt->claims, issuer, 0, &principal, &refusal)) {
        TRACE_BAD(trace, refusal.reason == REASON_USER_MISSING ? "user" : "claims", "%s",
                  refusal.text);
        return;
    }
    note_scopes(trace, principal);
    TRACE_GOOD(trace, "user", "%.*s (from %s)", SPAN_PRINTF(principal_user(principal)),
               principal_user_claim(principal));
    note_roles(trace, principal);
}

void note_denied(const struct evidence *evidence, const struct principal *principal,
                 const char *kid) {
    const struct deny_entry *entry =
        deny_list_find_principal(evidence->denied, principal, kid, evidence->now);
    char until[CLOCK_TEXT_MAX];

    if (!entry) return;
    bool ends = entry->until != DENY_FOR_EVER;
    TRACE_BAD(evidence->trace, "deny list", "denied by its %s %.*s%s%.*s, %s%s%s%.*s",
              deny_names[entry->by], SPAN_PRINTF(span_until(entry->value, 200)),
              entry->issuer.ptr ? " of " : "", SPAN_PRINTF(entry->issuer),
              ends ? "until " : "for good", ends ? clock_format(entry->until, until) : "",
              entry->note.ptr ? "; note: " : "", SPAN_PRINTF(entry->note));
}
