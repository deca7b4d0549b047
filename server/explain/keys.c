#include "server/explain/keys.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/fetch.h"
#include "server/keys/diskcopy.h"
#include "server/keys/document.h"
#include "server/keys/source.h"
#include "server/token/jwt.h"

/* Where the unit of systemd keeps the state. */
#define USUAL_STATE_DIRECTORY "/var/lib/bearerd"
#define POLL_MS 100

static void note(struct explain_keys *keys, enum explain_outcome outcome, const char *format, ...)
    PRINTF_LIKE(3, 4);

static void note(struct explain_keys *keys, enum explain_outcome outcome, const char *format, ...) {
    if (keys->count == EXPLAIN_NOTES_MAX) return;
    struct explain_note *next = &keys->notes[keys->count++];
    va_list values;

    next->outcome = outcome;
    va_start(values, format);
    vsnprintf(next->text, sizeof next->text, format, values);
    va_end(values);
}

/* Found as the daemon finds it. */
static size_t find_issuer(const struct keyring *ring, struct span token) {
    const struct keyring_entry *entry = NULL;
    struct refusal unused;
    struct jwt jwt;
    struct span iss;

    if (!jwt_parse(token, &jwt, &unused)) return ISSUER_NONE;
    if (jnode_find_string(jwt.claims->root, "iss", &iss) == JSON_FOUND)
        entry = keyring_find(ring, iss);
    jwt_done(&jwt);
    return entry ? (size_t)(entry - ring->entries) : ISSUER_NONE;
}

/* A ring with these keys of the one issuer (NULL: none), in place of the one there is. */
static int replace_ring(struct explain_keys *keys, struct config *config, struct keyset *set,
                        int64_t stale_at_ms) {
    struct keyring *ring = keyring_new(config);
    struct pulse *pulse = pulse_new();

    for (size_t i = 0; ring && pulse && i < ring->count; i++)
        keyring_set(ring, i, i == keys->issuer ? set : NULL, stale_at_ms, pulse);
    if (!ring || !pulse) {
        pulse_unref(pulse);
        keyring_unref(ring);
        return ERR_MEMORY;
    }
    pulse_unref(pulse);
    keyring_unref(keys->ring);
    keys->ring = ring;
    return 0;
}

int explain_keys_init(struct config *config, struct span token, struct explain_keys *ret) {
    *ret = (struct explain_keys){.issuer = ISSUER_NONE};
    int r = replace_ring(ret, config, NULL, 0);
    if (r == 0) ret->issuer = find_issuer(ret->ring, token);
    return r;
}

void explain_keys_done(struct explain_keys *keys) {
    keyring_unref(keys->ring);
    *keys = (struct explain_keys){0};
}

static int take(struct explain_keys *keys, struct keyset *set, int64_t stale_at_ms,
                const char *from, struct err_text *err) {
    if (replace_ring(keys, keys->ring->config, set, stale_at_ms) < 0)
        return err_set(err, ERR_MEMORY, "out of memory");
    note(keys, EXPLAIN_OK, "%zu key%s %s", set->count, set->count == 1 ? "" : "s", from);
    for (size_t i = 0; i < set->skipped_count; i++)
        note(keys, EXPLAIN_NOTE, "key %zu%s%s %s", set->skipped[i].index,
             set->skipped[i].kid ? " " : "", set->skipped[i].kid ? set->skipped[i].kid : "",
             set->skipped[i].why);
    return 0;
}

int explain_keys_from_file(struct explain_keys *keys, const char *path, struct err_text *err) {
    CLEANUP(buf_done) struct buf text = buf_make(keys->ring->config->fetch.max_body);
    CLEANUP(keyset_unrefp) struct keyset *set = NULL;
    struct err_text why, from;

    if (document_read_file(path, &text, &why) < 0)
        return err_set(err, ERR_SYSTEM, "%s: %s", path, why.text);
    int r = keyset_parse(buf_span(&text), &set, &why);
    if (r < 0) return err_set(err, r, "%s: the key set %s", path, why.text);
    err_set(&from, 0, "from the file %s", path);
    return take(keys, set, INT64_MAX, from.text, err);
}

/* --- as the daemon gets them --------------------------------------------------------------- */

static _Thread_local bool ended;

static void on_ended(struct source *source, bool fresh) {
    (void)source;
    (void)fresh;
    ended = true;
}

static int refresh(struct explain_keys *keys, struct source *source, struct fetcher *fetcher,
                   struct err_text *err) {
    const char *url = *source->issuer->jwks_file  ? source->issuer->jwks_file
                      : *source->issuer->jwks_uri ? source->issuer->jwks_uri
                                                  : source->issuer->discovery;
    struct err_text from;

    ended = false;
    source_refresh(source);
    while (!ended) fetcher_poll(fetcher, POLL_MS, -1);
    if (source->keys) {
        err_set(&from, 0, "%s just now, %s %.200s", *source->issuer->jwks_file ? "read" : "fetched",
                *source->issuer->jwks_file || *source->issuer->jwks_uri ? "from" : "by way of",
                url);
        return take(keys, source->keys, source_stale_at(source), from.text, err);
    }
    struct standing standing = pulse_standing(source->pulse);
    note(keys, EXPLAIN_FAILED, "not %s, %.200s: %s",
         *source->issuer->jwks_file ? "read" : "fetched", url, standing.why);
    return 0;
}

static int read_source(struct explain_keys *keys, struct err_text *err) {
    const struct config *config = keys->ring->config;
    struct fetch_settings settings = document_fetch_settings(config);
    struct fetcher *fetcher = fetcher_new(&settings);
    struct source source;

    if (!fetcher ||
        source_init(&source, config, &config->issuers[keys->issuer], fetcher, on_ended) < 0) {
        fetcher_free(fetcher);
        return err_set(err, ERR_MEMORY, "out of memory");
    }
    int r = refresh(keys, &source, fetcher, err);
    source_done(&source);
    fetcher_free(fetcher);
    return r;
}

static int read_copy(struct explain_keys *keys, const char *folder, struct err_text *err) {
    CLEANUP(keyset_unrefp) struct keyset *set = NULL;
    const struct config_issuer *issuer = &keys->ring->config->issuers[keys->issuer];
    char age[CLOCK_WORDS_MAX];
    struct err_text why, from;
    int64_t fetched, now = clock_wall();

    if (diskcopy_load(folder, issuer, now, &set, &fetched, &why) < 0) {
        note(keys, EXPLAIN_NOTE, "no copy of the daemon's in %s%s%s", folder, *why.text ? ": " : "",
             why.text);
        return 0;
    }
    err_set(&from, 0, "from the daemon's copy in %s, fetched %s ago", folder,
            clock_words(now - fetched, age));
    return take(keys, set, clock_monotonic_ms() - (now - fetched) * 1000 + issuer->max_stale,
                from.text, err);
}

int explain_keys_from_disk(struct explain_keys *keys, struct err_text *err) {
    const char *folder = keys->ring->config->state_directory;

    if (keys->issuer == ISSUER_NONE) return 0;
    if (*keys->ring->config->issuers[keys->issuer].jwks_file) return read_source(keys, err);
    return read_copy(keys, *folder ? folder : USUAL_STATE_DIRECTORY, err);
}

/* Give config another state directory; returns what it was. */
static char *swap_directory(struct config *config, char *directory) {
    char *before = config->state_directory;
    config->state_directory = directory;
    return before;
}

int explain_keys_from_issuer(struct explain_keys *keys, struct err_text *err) {
    struct config *config = keys->ring->config;
    char none[] = "";

    /* A file was read already. */
    if (keys->issuer == ISSUER_NONE || *config->issuers[keys->issuer].jwks_file) return 0;
    /* The copy on disk is the daemon's, and belongs to another user. */
    char *before = swap_directory(config, none);
    int r = read_source(keys, err);
    swap_directory(config, before);
    return r;
}
