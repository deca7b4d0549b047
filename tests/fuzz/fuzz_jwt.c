/*
 * jwt: a token that is taken apart has one spelling only and says in its fields what its bytes say;
 * whatever it holds, verifying and judging it ends well. Input is a token; or, with a line end in
 * it, a header and a payload that are put into one.
 */
#include <openssl/err.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/base64url.h"
#include "common/json.h"
#include "server/keys/keyset.h"
#include "server/token/claims.h"
#include "server/token/jwt.h"
#include "server/token/principal_make.h"
#include "server/token/verify.h"
#include "tests/support/same_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW 1700000100

/* Keys that some of the corpus was signed with; nobody has their private halves. */
static const char jwks[] =
    "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"uEJduvPvCgPNZSTQ86W_eE6CDfhB__bDVFmautEGJqosRhWNnQ8G"
    "9d60lmwXf9hS5uM5b8T37puqDoSytYa09Wt_txm4PnMPSmmpFh4Tx4ZyCYTaF9FOmaZ1VSD5lGlfka8gbFXbuqVA"
    "uyUaE_OV_zKgSzcryYxuds3CKCOQhEhhEd2TnIOxEGMx5Vsa02v2zWsRZhOx48G0rDJb606E1HgIIbZovJFunouS"
    "Dvo2kqzC-1QctApbT0J1eyRdNsn-g1o1fL55bRCG5ZJVSUp9ZIlwa4SC58r0efqQncFyiMkZ9Ahw1jv81xGAWh1o"
    "tMnXtdWK1zDbCOby6a71wUDbTQ\",\"e\":\"AQAB\",\"kid\":\"RS256\"},{\"kty\":\"EC\",\"crv\":"
    "\"P-256\",\"x\":\"f_lBYqWBF3iDvRU7Ml4DGqxu5MDOn1ldERmKjQVswn0\",\"y\":\"t8n8U_0G2-JtVW-1"
    "mE_ulf0sbWwRZ4bOpjba9sHVxds\",\"kid\":\"ES256\"},{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\""
    ":\"ASzZPNipe6eGnMNRmiZx4K4VQWdBdIPd0GKJDGT6FtqdCFW_JQDPNAhFuPyVp2VA3S3WOFXbUVZccFEKBnz3X"
    "eeS\",\"y\":\"AIz9Y1_ldlYJB_1-9R9LpcmctQRObD7zAJRThif7rRaQE2D8CKAB6xrSPlnAfrAU21LFsX-x7O"
    "fa06mAL8mm-hud\",\"kid\":\"ES512\",\"alg\":\"ES512\"},{\"kty\":\"OKP\",\"crv\":\"Ed25519"
    "\",\"x\":\"_1ofn_HxVWIlWg5VLcYQ-kqV0bnnRvx3WQRY2i6M1_w\",\"kid\":\"EdDSA\"}]}";

static void demand(bool truth) {
    if (!truth) abort();
}

static struct keyset *keys(void) {
    static struct keyset *set;
    if (!set) demand(keyset_parse(span_of(jwks), &set, NULL) == 0);
    return set;
}

/* Two issuers of one name would be refused; judging does not ask for the name. */
static const char yaml[] = "issuers:\n"
                           "  - {issuer: \"https://i.example\", audiences: [api]}\n"
                           "  - {issuer: \"https://j.example\", audiences: [api, b],\n"
                           "     token_type: at+jwt, max_lifetime: 1h, user_claims: [sub]}\n";

static const struct config_issuer *issuer(bool strict) {
    static struct config *config;
    struct config_report report;
    if (!config) {
        demand(config_parse(SPAN_LITERAL(yaml), "fuzz", &config, &report) == 0);
        config_report_done(&report);
    }
    return &config->issuers[strict];
}

/* --- what was taken apart ------------------------------------------------------------------ */

static void check_segment(struct span segment, struct span decoded) {
    char *again = malloc(base64url_encoded_len(decoded.len) + 1);
    demand(again != NULL);
    base64url_encode(decoded.ptr, decoded.len, again);
    demand(span_equal_text(segment, again));
    free(again);
}

static void check_parts(const struct jws *jws, struct span token) {
    struct span rest = token, segments[3];
    size_t header_max = base64url_decoded_max(token.len), header_len;
    unsigned char *header = malloc(header_max);
    json_t *again = NULL;

    demand(header != NULL);
    for (size_t i = 0; i < 3; i++) {
        size_t end = span_find(rest, '.');
        demand((end < rest.len) == (i < 2));
        segments[i] = span_until(rest, end);
        rest = span_from(rest, end + 1);
    }
    demand(jws->signing_input.ptr == token.ptr);
    demand(jws->signing_input.len == segments[0].len + 1 + segments[1].len);
    check_segment(segments[1], jws->payload);
    check_segment(segments[2], jws->signature);
    demand(jws->signature.len > 0);
    demand(base64url_decode(segments[0], header, &header_len) == 0);
    demand(json_read_object((struct span){(char *)header, header_len}, &again, NULL) == 0);
    demand(same_json(jws->header->root, again));
    json_decref(again);
    free(header);
}

static void check_header(const struct jws *jws) {
    const struct jnode *header = jws->header->root;
    struct span text;
    demand(jws->algorithm < ALG_COUNT);
    demand(jnode_find_string(header, "alg", &text) == JSON_FOUND);
    demand(span_equal_text(text, algorithm_info(jws->algorithm)->name));
    demand(!jnode_find(header, "crit") && !jnode_find(header, "zip"));
    demand(!jnode_find(header, "enc"));
    demand((jnode_find(header, "kid") != NULL) == !span_is_absent(jws->kid));
    demand(jws->kid.len <= 1024);
}

/* jansson reads the same claims out of the payload. */
static void check_claims(const struct jwt *jwt) {
    json_t *again = NULL;
    demand(json_read_object(jwt->jws.payload, &again, NULL) == 0);
    demand(same_json(jwt->claims->root, again));
    json_decref(again);
}

/* --- what becomes of it -------------------------------------------------------------------- */

static void check_refusal(const struct refusal *refusal) {
    demand(refusal->text[0]);
    demand(reason_class(refusal->reason) == CLASS_INVALID_TOKEN ||
           refusal->reason == REASON_OUT_OF_MEMORY);
}

/* Before the signature is believed a refusal is plain text, whatever the token holds. */
static void check_plain(const struct refusal *refusal) {
    check_refusal(refusal);
    for (const char *c = refusal->text; *c; c++) demand(*c >= ' ' && *c < 0x7f);
}

static void judge(const struct jwt *jwt, bool strict) {
    struct refusal refusal = {0};
    struct principal *principal = NULL;
    struct validity validity = {0};

    if (!claims_check(jwt, issuer(strict), NOW, NULL, &validity, &refusal)) {
        check_refusal(&refusal);
        return;
    }
    int64_t expires = validity.expires;
    demand(validity_holds(&validity, NOW));
    demand(expires > NOW - 60 && expires <= 253402300799);
    demand(!strict || (jwt->type == JWT_TYPE_AT_JWT && expires <= NOW + 3660));
    demand(!jnode_find(jwt->claims->root, "cnf"));
    if (!principal_make(jwt->claims, issuer(strict), expires, &principal, &refusal)) {
        demand(!principal);
        check_refusal(&refusal);
        return;
    }
    size_t count;
    const struct span *items = principal_scopes(principal, &count);
    for (size_t i = 0; i < count; i++) demand(items[i].ptr != NULL);
    demand(principal_user(principal).len > 0);
    demand(principal_expires(principal) == expires);
    principal_unref(principal);
}

static void check_token(struct span token) {
    struct jwt jwt = {.type = JWT_TYPE_AT_JWT};
    struct refusal refusal = {0};
    const struct key *key;

    if (!jwt_parse(token, &jwt, &refusal)) {
        check_plain(&refusal);
        demand(!jwt.claims && !jwt.jws.header && !jwt.jws.memory);
        return;
    }
    check_parts(&jwt.jws, token);
    check_header(&jwt.jws);
    check_claims(&jwt);
    if (keyset_find(keys(), jwt.jws.kid, jwt.jws.algorithm, &key) == KEY_FOUND)
        (void)!verify_signature(NULL, key, jwt.jws.algorithm, jwt.jws.signing_input,
                                jwt.jws.signature);
    demand(ERR_peek_error() == 0);
    judge(&jwt, false);
    judge(&jwt, true);
    jwt_done(&jwt);
}

/* header LF payload: as a token whose signature is nothing much. */
static void check_pieces(struct span input) {
    size_t end = span_find(input, '\n');
    struct span header = span_until(input, end), payload = span_from(input, end + 1);
    size_t header_len = base64url_encoded_len(header.len);
    size_t payload_len = base64url_encoded_len(payload.len);
    size_t len = header_len + payload_len + 2 + 86;
    char *token = malloc(len + 1);

    demand(token != NULL);
    base64url_encode(header.ptr, header.len, token);
    token[header_len] = '.';
    base64url_encode(payload.ptr, payload.len, token + header_len + 1);
    token[header_len + 1 + payload_len] = '.';
    memset(token + len - 86, 'A', 86);
    token[len] = '\0';
    check_token((struct span){token, len});
    free(token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span input = {(const char *)data, size};
    if (span_find(input, '\n') < size)
        check_pieces(input);
    else
        check_token(input);
    return 0;
}
