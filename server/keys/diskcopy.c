#include "server/keys/diskcopy.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/json.h"

#define COPY_MAX (4 * 1024 * 1024)
#define NAME_BYTES 16

/* Where the keys come from: a copy belongs to one issuer and one source. */
static const char *source_of(const struct config_issuer *issuer) {
    return *issuer->jwks_uri ? issuer->jwks_uri : issuer->discovery;
}

/* The file name is a digest, since an issuer is a URL and may hold anything. */
static int make_path(const char *folder, const char *issuer, char path[PATH_MAX],
                     struct err_text *err) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[2 * NAME_BYTES + 1];
    unsigned len;

    if (EVP_Digest(issuer, strlen(issuer), digest, &len, EVP_sha256(), NULL) != 1)
        return err_set(err, ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < NAME_BYTES; i++) sprintf(hex + 2 * i, "%02x", digest[i]);
    if (snprintf(path, PATH_MAX, "%s/keys-%s.json", folder, hex) >= PATH_MAX)
        return err_set(err, ERR_LIMIT, "the path of the state directory is too long");
    return 0;
}

/* --- save ---------------------------------------------------------------------------------- */

int diskcopy_save(const char *folder, const struct config_issuer *issuer, const struct keyset *set,
                  int64_t fetched_wall, struct err_text *err) {
    char path[PATH_MAX];
    struct buf content = buf_make(COPY_MAX);

    int r = make_path(folder, issuer->issuer, path, err);
    if (r < 0) return r;
    buf_add_text(&content, "{\"issuer\":");
    buf_add_json(&content, span_of(issuer->issuer));
    buf_add_text(&content, ",\"source\":");
    buf_add_json(&content, span_of(source_of(issuer)));
    buf_addf(&content, ",\"fetched_at\":%lld,\"jwks\":%s}\n", (long long)fetched_wall,
             set->document);

    if (!buf_ok(&content))
        r = err_set(err, ERR_MEMORY, "the keys do not fit into a copy");
    else
        r = file_replace(path, buf_span(&content), err);
    buf_done(&content);
    return r;
}

/* --- load ---------------------------------------------------------------------------------- */

static int check_copy(const json_t *root, const struct config_issuer *issuer, int64_t now_wall,
                      int64_t *ret_fetched_wall, struct err_text *err) {
    struct span text;
    int64_t fetched;

    if (json_find_string(root, "issuer", &text) != JSON_FOUND ||
        !span_equal_text(text, issuer->issuer))
        return err_set(err, ERR_SYNTAX, "is of another issuer");
    if (json_find_string(root, "source", &text) != JSON_FOUND ||
        !span_equal_text(text, source_of(issuer)))
        return err_set(err, ERR_SYNTAX, "came from another URL than the configured one");
    if (json_find_seconds(root, "fetched_at", &fetched) != JSON_FOUND || fetched > now_wall)
        return err_set(err, ERR_SYNTAX, "does not say when it was fetched, or names the future");
    if ((now_wall - fetched) * 1000 >= issuer->max_stale)
        return err_set(err, ERR_LIMIT, "is older than max_stale");
    *ret_fetched_wall = fetched;
    return 0;
}

static int parse_copy(struct span text, const struct config_issuer *issuer, int64_t now_wall,
                      struct keyset **ret, int64_t *ret_fetched_wall, struct err_text *err) {
    CLEANUP(json_decrefp) json_t *root = NULL;
    int r = json_read_object(text, &root, err);
    if (r < 0) return r;
    if ((r = check_copy(root, issuer, now_wall, ret_fetched_wall, err)) < 0) return r;

    char *jwks = json_dumps(json_object_get(root, "jwks"), JSON_COMPACT | JSON_ENCODE_ANY);
    if (!jwks) return err_set(err, ERR_SYNTAX, "holds no keys");
    r = keyset_parse(span_of(jwks), ret, err);
    free(jwks);
    return r;
}

int diskcopy_load(const char *folder, const struct config_issuer *issuer, int64_t now_wall,
                  struct keyset **ret, int64_t *ret_fetched_wall, struct err_text *err) {
    char path[PATH_MAX];
    struct buf content = buf_make(COPY_MAX);
    struct file_facts facts;
    struct err_text why = {""};

    int r = make_path(folder, issuer->issuer, path, err);
    if (r < 0) return r;
    r = file_read(path, FILE_OWN, &content, &facts, err);
    if (r == 0 && !facts.exists) r = err_set(err, ERR_SYSTEM, "%s", "");
    if (r == 0) {
        r = parse_copy(buf_span(&content), issuer, now_wall, ret, ret_fetched_wall, &why);
        if (r < 0) err_set(err, r, "the copy %s %s", path, why.text);
    }
    buf_done(&content);
    return r;
}
