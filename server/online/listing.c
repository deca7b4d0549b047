#include "server/online/listing.h"

#include "common/json.h"
#include "server/keys/keyset.h"

static void add_algorithms(struct buf *out, algorithm_set set) {
    const char *separator = "";
    for (int i = 0; i < ALG_COUNT; i++) {
        if (!(set & ALG_BIT(i))) continue;
        buf_addf(out, "%s%s", separator, algorithm_info((enum algorithm)i)->name);
        separator = " ";
    }
}

static const char *type_name(algorithm_set set) {
    static const char *const names[] = {[KEY_RSA] = "RSA", [KEY_EC] = "EC", [KEY_OKP] = "OKP"};
    for (int i = 0; i < ALG_COUNT; i++)
        if (set & ALG_BIT(i)) return names[algorithm_info((enum algorithm)i)->key_type];
    return "";
}

/* "kid "a"" or "no kid". */
static void add_kid(struct buf *out, const char *kid) {
    if (kid)
        buf_addf(out, "kid \"%.200s\"", kid);
    else
        buf_add_text(out, "no kid");
}

/* Whether tokens may be signed with it. */
static bool tell_key(struct report *report, const struct config_issuer *issuer,
                     const struct key *key) {
    algorithm_set allowed = key->algorithms & issuer->algorithms;
    CLEANUP(buf_done) struct buf text = buf_make(1024);

    add_kid(&text, key->kid);
    buf_addf(&text, ", %s, for ", type_name(key->algorithms));
    add_algorithms(&text, allowed ? allowed : key->algorithms);
    if (!allowed) buf_add_text(&text, ": not among the issuer's \"algorithms\" here");
    report_line(report, allowed ? OUTCOME_OK : OUTCOME_NOTE, "key", REPORT_UNTIMED, "%s",
                buf_span(&text).ptr);
    if (key->had_private)
        report_line(report, OUTCOME_WARN, "key", REPORT_UNTIMED,
                    "the issuer publishes the private part of it: whoever reads that can sign "
                    "tokens");
    return allowed != 0;
}

static void tell_skipped(struct report *report, size_t index, const char *kid, const char *why) {
    CLEANUP(buf_done) struct buf text = buf_make(512);
    add_kid(&text, kid);
    report_line(report, OUTCOME_NOTE, "key", REPORT_UNTIMED,
                "%s, the %zu. in the set, is skipped: it %s", buf_span(&text).ptr, index + 1, why);
}

/* A set that is refused as a whole does not tell what is wrong with each of its keys. */
static void tell_unusable(struct report *report, struct span document) {
    CLEANUP(json_decrefp) json_t *root = NULL;
    size_t index;
    json_t *jwk;

    if (json_read_object(document, &root, NULL) < 0) return;
    json_array_foreach(json_object_get(root, "keys"), index, jwk) {
        struct key key = {0};
        struct err_text why;
        if (index == KEYSET_KEYS_MAX) return;
        if (jwk_parse(jwk, &key, &why) < 0)
            tell_skipped(report, index, json_string_value(json_object_get(jwk, "kid")), why.text);
        key_done(&key);
    }
}

void listing_tell(struct report *report, const struct config_issuer *issuer, struct span document) {
    CLEANUP(keyset_unrefp) struct keyset *keys = NULL;
    struct err_text why;
    size_t fit = 0;

    if (keyset_parse(document, &keys, &why) < 0) {
        tell_unusable(report, document);
        report_line(report, OUTCOME_FAIL, "keys", REPORT_UNTIMED, "the key set %s", why.text);
        return;
    }
    for (size_t i = 0; i < keys->count; i++) fit += tell_key(report, issuer, &keys->keys[i]);
    for (size_t i = 0; i < keys->skipped_count; i++)
        tell_skipped(report, keys->skipped[i].index, keys->skipped[i].kid, keys->skipped[i].why);
    if (fit == 0)
        report_line(report, OUTCOME_FAIL, "keys", REPORT_UNTIMED,
                    "no key is for an algorithm that \"algorithms\" of this issuer allows");
}
