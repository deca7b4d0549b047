#include "server/keys/source.h"

#include <stdlib.h>
#include <sys/random.h>

#include "common/clock.h"
#include "server/keys/discovery.h"
#include "server/keys/diskcopy.h"
#include "server/keys/document.h"

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MAX_MS 60000

int source_init(struct source *source, const struct config *config,
                const struct config_issuer *issuer, struct fetcher *fetcher,
                void (*ended)(struct source *source, bool fresh)) {
    *source = (struct source){.config = config,
                              .issuer = issuer,
                              .fetcher = fetcher,
                              .ended = ended,
                              .due_ms = clock_monotonic_ms(),
                              .pulse = pulse_new()};
    if (!source->pulse) return ERR_MEMORY;
    /* Requests wait for the first refresh, and do not use up the right to force one. */
    atomic_store(&source->pulse->wanted, true);
    return 0;
}

void source_done(struct source *source) {
    keyset_unref(source->keys);
    pulse_unref(source->pulse);
}

void source_inherit(struct source *source, const struct source *from) {
    pulse_unref(source->pulse);
    source->pulse = pulse_ref(from->pulse);
    source->keys = from->keys ? keyset_ref(from->keys) : NULL;
    source->fetched_ms = from->fetched_ms;
    /* The interval may have become shorter. */
    int64_t latest = clock_monotonic_ms() + source->issuer->refresh_interval;
    source->due_ms = from->due_ms < latest ? from->due_ms : latest;
    source->failures = from->failures;
    source->attempted = from->attempted;
}

int64_t source_stale_at(const struct source *source) {
    return source->fetched_ms + source->issuer->max_stale;
}

/* --- the end of a refresh ------------------------------------------------------------------ */

/* Vary a delay by a fifth either way, so that many gates do not return to an issuer in step. */
static int64_t jitter(int64_t delay_ms) {
    uint32_t random;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random) return delay_ms;
    return delay_ms - delay_ms / 5 + (int64_t)(random % (uint32_t)(delay_ms / 5 * 2 + 1));
}

static int64_t backoff(const struct source *source) {
    unsigned doublings = source->failures < 16 ? source->failures - 1 : 15;
    int64_t delay = (int64_t)BACKOFF_FIRST_MS << doublings;
    if (delay > BACKOFF_MAX_MS) delay = BACKOFF_MAX_MS;
    if (delay > source->issuer->refresh_interval) delay = source->issuer->refresh_interval;
    return jitter(delay);
}

/*
 * The issuer may ask for an earlier refresh by max-age, within our own bounds. A max-age of 0, as
 * many issuers send by habit, is no request to be asked without pause.
 */
static int64_t next_delay(const struct source *source, int64_t max_age) {
    const struct config_issuer *issuer = source->issuer;
    if (max_age <= 0 || max_age > issuer->refresh_interval / 1000) return issuer->refresh_interval;
    int64_t wanted = max_age * 1000;
    if (wanted < issuer->refresh_cooldown) wanted = issuer->refresh_cooldown;
    return wanted < issuer->refresh_interval ? wanted : issuer->refresh_interval;
}

static void end(struct source *source, bool fresh) {
    source->attempted = true;
    source->unsettled = true;
    source->ended(source, fresh);
}

void source_settle(struct source *source) {
    if (!source->unsettled) return;
    source->unsettled = false;
    atomic_store(&source->pulse->fetching, false);
}

static void fail(struct source *source, const char *url, const char *why) {
    char age[CLOCK_WORDS_MAX] = "", retry[CLOCK_WORDS_MAX];
    int64_t now = clock_monotonic_ms();

    source->failures++;
    int64_t delay = backoff(source);
    source->due_ms = now + delay;
    if (source->keys) clock_words((now - source->fetched_ms) / 1000, age);
    LOG(LOG_WARNING, source->keys ? "keys not refreshed, keeping the old ones" : "no keys yet",
        LOG_TEXT("issuer", source->issuer->issuer), LOG_TEXT("url", url), LOG_TEXT("why", why),
        LOG_NUMBER("keys", source->keys ? source->keys->count : 0),
        LOG_TEXT("age", *age ? age : NULL),
        LOG_TEXT("retry_in", clock_words((delay + 999) / 1000, retry)));
    pulse_note_failure(source->pulse, source->due_ms, why);
    end(source, false);
}

static void log_skipped(const struct source *source, const struct keyset *keys) {
    for (size_t i = 0; i < keys->skipped_count; i++)
        LOG(LOG_WARNING, "unusable key skipped", LOG_TEXT("issuer", source->issuer->issuer),
            LOG_NUMBER("index", keys->skipped[i].index), LOG_TEXT("kid", keys->skipped[i].kid),
            LOG_TEXT("why", keys->skipped[i].why));
    for (size_t i = 0; i < keys->count; i++)
        if (keys->keys[i].had_private)
            LOG(LOG_WARNING, "the issuer publishes a private key; only its public part was read",
                LOG_TEXT("issuer", source->issuer->issuer), LOG_TEXT("kid", keys->keys[i].kid));
}

static bool same_document(const struct keyset *a, const struct keyset *b) {
    return a && a->skipped_count == b->skipped_count &&
           span_equal(span_of(a->document), span_of(b->document));
}

static void save_copy(const struct source *source) {
    struct err_text why;
    const char *folder = source->config->state_directory;

    if (!*folder || *source->issuer->jwks_file) return;
    if (diskcopy_save(folder, source->issuer, source->keys, clock_wall(), &why) < 0)
        LOG(LOG_WARNING, "keys not copied to disk, going on without",
            LOG_TEXT("issuer", source->issuer->issuer), LOG_TEXT("why", why.text));
}

/* Parse a JWKS and, if it is good, make it the source's keys. */
static void take_keys(struct source *source, const char *url, struct span jwks, int64_t max_age) {
    struct err_text why, sentence;
    struct keyset *keys = NULL;

    if (keyset_parse(jwks, &keys, &why) < 0) {
        err_set(&sentence, 0, "the key set %s", why.text);
        fail(source, url, sentence.text);
        return;
    }
    bool changed = !same_document(source->keys, keys);
    if (changed) log_skipped(source, keys);
    LOG(changed ? LOG_NOTICE : LOG_INFO, changed ? "new keys" : "keys unchanged",
        LOG_TEXT("issuer", source->issuer->issuer), LOG_TEXT("url", url),
        LOG_NUMBER("keys", keys->count), LOG_NUMBER("skipped", keys->skipped_count));

    keyset_unref(source->keys);
    source->keys = keys;
    source->failures = 0;
    source->fetched_ms = clock_monotonic_ms();
    source->due_ms = source->fetched_ms + next_delay(source, max_age);
    save_copy(source);
    pulse_note_keys(source->pulse, source->due_ms, changed);
    end(source, true);
}

/* --- from a file --------------------------------------------------------------------------- */

static void refresh_from_file(struct source *source) {
    const char *path = source->issuer->jwks_file;
    CLEANUP(buf_done) struct buf content = buf_make(source->config->fetch.max_body);
    struct err_text why;

    if (document_read_file(path, &content, &why) < 0)
        fail(source, path, why.text);
    else
        take_keys(source, path, buf_span(&content), -1);
}

/* --- from the network ---------------------------------------------------------------------- */

/* Log the fetch with its exact URL; a sentence about what is wrong with it, or NULL. */
static const char *judge_reply(const struct source *source, const struct fetch_reply *reply,
                               struct err_text *why) {
    LOG(LOG_INFO, "fetched", LOG_TEXT("issuer", source->issuer->issuer),
        LOG_TEXT("url", reply->url), LOG_TEXT("address", reply->address),
        LOG_NUMBER("status", reply->status), LOG_NUMBER("bytes", reply->body.len),
        LOG_NUMBER("took_ms", reply->took_ms), LOG_TEXT("error", reply->error));
    return document_judge(reply, why);
}

static void on_jwks(void *argument, const struct fetch_reply *reply) {
    struct source *source = argument;
    struct err_text why;

    const char *wrong = judge_reply(source, reply, &why);
    if (wrong)
        fail(source, reply->url, wrong);
    else
        take_keys(source, reply->url, reply->body, reply->max_age);
}

static void fetch_or_fail(struct source *source, const char *url, fetch_done *done) {
    bool allow_http = issuer_allows_http(source->issuer, url);
    if (fetcher_start(source->fetcher, url, allow_http, done, source) < 0)
        fail(source, url, "out of memory");
}

static void on_discovery(void *argument, const struct fetch_reply *reply) {
    struct source *source = argument;
    struct err_text why, sentence;
    char *jwks_uri;

    const char *wrong = judge_reply(source, reply, &why);
    if (wrong) {
        fail(source, reply->url, wrong);
        return;
    }
    if (discovery_parse(reply->body, source->issuer, &jwks_uri, &why) < 0) {
        err_set(&sentence, 0, "the discovery document %s", why.text);
        fail(source, reply->url, sentence.text);
        return;
    }
    fetch_or_fail(source, jwks_uri, on_jwks);
    free(jwks_uri);
}

void source_refresh(struct source *source) {
    /* Order matters: whoever finds neither flag set may force a refresh. */
    atomic_store(&source->pulse->fetching, true);
    atomic_store(&source->pulse->wanted, false);

    if (*source->issuer->jwks_file)
        refresh_from_file(source);
    else if (*source->issuer->jwks_uri)
        fetch_or_fail(source, source->issuer->jwks_uri, on_jwks);
    else
        fetch_or_fail(source, source->issuer->discovery, on_discovery);
}

void source_load_copy(struct source *source) {
    struct err_text why;
    char age[CLOCK_WORDS_MAX];
    int64_t fetched, now = clock_wall();
    const char *folder = source->config->state_directory;

    if (!*folder || *source->issuer->jwks_file) return;
    if (diskcopy_load(folder, source->issuer, now, &source->keys, &fetched, &why) < 0) {
        if (*why.text)
            LOG(LOG_WARNING, "disk copy of keys not used",
                LOG_TEXT("issuer", source->issuer->issuer), LOG_TEXT("why", why.text));
        return;
    }
    source->fetched_ms = clock_monotonic_ms() - (now - fetched) * 1000;
    LOG(LOG_NOTICE, "keys taken from the disk copy", LOG_TEXT("issuer", source->issuer->issuer),
        LOG_NUMBER("keys", source->keys->count), LOG_TEXT("age", clock_words(now - fetched, age)));
}
