#include "server/explain/keys.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/fetch.h"
#include "common/file.h"
#include "common/json.h"
#include "server/keys/source.h"
#include "server/token/jwt.h"

/* Where the unit of systemd keeps the state. */
#define USUAL_STATE_DIRECTORY "/var/lib/bearerd"
#define POLL_MS 100

int explain_find_issuer(const struct config *config, struct span token) {
    struct refusal unused;
    struct jwt jwt;
    struct span iss;
    int found = -1;

    if (!jwt_parse(token, &jwt, &unused)) return -1;
    if (json_find_string(jwt.claims, "iss", &iss) == JSON_FOUND)
        for (size_t i = 0; i < config->issuer_count && found < 0; i++)
            if (span_equal_text(iss, config->issuers[i].issuer)) found = (int)i;
    jwt_done(&jwt);
    return found;
}

/* A ring that everybody may use for good: who asks wants a verdict on the token. */
static int make_ring(struct config *config, int issuer, struct keyset *keys, int64_t stale_at_ms,
                     struct keyring **ret, struct err_text *err) {
    CLEANUP(keyring_unrefp) struct keyring *ring = keyring_new(config);
    struct pulse *pulse = pulse_new();

    for (size_t i = 0; ring && pulse && i < ring->count; i++)
        keyring_set(ring, i, (int)i == issuer ? keys : NULL, stale_at_ms, pulse);
    pulse_unref(pulse);
    if (!ring || !pulse) return err_set(err, ERR_MEMORY, "out of memory");
    *ret = TAKE_PTR(ring);
    return 0;
}

int explain_keys_from_file(struct config *config, int issuer, const char *path,
                           struct keyring **ret, struct err_text *err) {
    struct buf text = buf_make(config->fetch.max_body);
    struct keyset *keys = NULL;

    struct file_facts facts;
    int r = file_read(path, FILE_NAMED, &text, &facts, err);
    if (r == 0 && !facts.exists) r = err_set(err, ERR_SYSTEM, "%s is not there", path);
    if (r == 0) r = keyset_parse(buf_span(&text), &keys, err);
    if (r == 0) r = make_ring(config, issuer, keys, INT64_MAX, ret, err);
    keyset_unref(keys);
    buf_done(&text);
    return r;
}

/* --- as the daemon gets them --------------------------------------------------------------- */

static _Thread_local bool ended;

static void on_ended(struct source *source, bool fresh) {
    (void)source;
    (void)fresh;
    ended = true;
}

static struct fetcher *make_fetcher(const struct config *config) {
    return fetcher_new(&(struct fetch_settings){.ca_file = config->fetch.ca_file,
                                                .proxy = config->fetch.proxy,
                                                .no_proxy = config->fetch.no_proxy,
                                                .connect_timeout_ms = config->fetch.connect_timeout,
                                                .timeout_ms = config->fetch.timeout,
                                                .max_body = config->fetch.max_body});
}

static int read_source(struct config *config, int issuer, bool online, struct keyring **ret,
                       struct err_text *err) {
    struct fetcher *fetcher = make_fetcher(config);
    struct source source;

    if (!fetcher || source_init(&source, config, &config->issuers[issuer], fetcher, on_ended) < 0) {
        fetcher_free(fetcher);
        return err_set(err, ERR_MEMORY, "out of memory");
    }
    ended = false;
    if (online || *source.issuer->jwks_file)
        source_refresh(&source);
    else
        source_load_copy(&source);
    while (online && !ended) fetcher_poll(fetcher, POLL_MS, -1);
    int64_t stale_at_ms = source.keys ? source_stale_at(&source) : 0;
    int r = make_ring(config, issuer, source.keys, stale_at_ms, ret, err);
    source_done(&source);
    fetcher_free(fetcher);
    return r;
}

/* Give config another state directory; returns what it was. */
static char *swap_directory(struct config *config, char *directory) {
    char *before = config->state_directory;
    config->state_directory = directory;
    return before;
}

int explain_keys_from_disk(struct config *config, int issuer, struct keyring **ret,
                           struct err_text *err) {
    char usual[] = USUAL_STATE_DIRECTORY;

    if (issuer < 0) return make_ring(config, issuer, NULL, 0, ret, err);
    if (*config->state_directory) return read_source(config, issuer, false, ret, err);
    char *before = swap_directory(config, usual);
    int r = read_source(config, issuer, false, ret, err);
    swap_directory(config, before);
    return r;
}

int explain_keys_from_issuer(struct config *config, int issuer, struct keyring **ret,
                             struct err_text *err) {
    char none[] = "";

    if (issuer < 0) return make_ring(config, issuer, NULL, 0, ret, err);
    /* The copy on disk is the daemon's, and belongs to another user. */
    char *before = swap_directory(config, none);
    int r = read_source(config, issuer, true, ret, err);
    swap_directory(config, before);
    return r;
}
