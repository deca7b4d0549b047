#include "server/online/online.h"

#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "server/keys/discovery.h"
#include "server/online/visit.h"

#define EXIT_USAGE 2
#define THREADS_MAX 8

static const char help[] =
    "usage: bearerd check --online [-c FILE] [--issuer URL]\n"
    "\n"
    "Check the configuration, and then fetch the keys of every issuer in it once, as the daemon\n"
    "does, and tell each step: name, connection, proxy, TLS, discovery, keys, clock. Exit: 0 if "
    "all\n"
    "is well with every issuer, 1 if not. --issuer asks that one only. Run it where the daemon "
    "runs,\n"
    "with the same environment.\n";

/* One issuer to ask, and what came of it. */
struct errand {
    const struct config_issuer *issuer;
    struct report report;
    bool done;
};

struct round {
    const struct config *config;
    struct errand *errands;
    size_t count;
    pthread_mutex_t lock; /* of next and of each errand's done */
    pthread_cond_t news;
    size_t next;
};

/* --- side by side ---------------------------------------------------------------------------- */

static struct errand *take_errand(struct round *round) {
    pthread_mutex_lock(&round->lock);
    struct errand *errand = round->next < round->count ? &round->errands[round->next++] : NULL;
    pthread_mutex_unlock(&round->lock);
    return errand;
}

static void *run_errands(void *argument) {
    struct round *round = argument;
    struct errand *errand;

    while ((errand = take_errand(round))) {
        visit_issuer(round->config, errand->issuer, &errand->report);
        pthread_mutex_lock(&round->lock);
        errand->done = true;
        pthread_cond_signal(&round->news);
        pthread_mutex_unlock(&round->lock);
    }
    return NULL;
}

static void wait_for(struct round *round, const struct errand *errand) {
    pthread_mutex_lock(&round->lock);
    while (!errand->done) pthread_cond_wait(&round->news, &round->lock);
    pthread_mutex_unlock(&round->lock);
}

/* --- the end --------------------------------------------------------------------------------- */

static void print_failures(const struct round *round) {
    const char *separator = ": ";
    for (size_t i = 0; i < round->count; i++) {
        const struct errand *errand = &round->errands[i];
        if (!errand->report.failed) continue;
        printf("%s%s (%s)", separator, errand->issuer->issuer, errand->report.failed);
        separator = ", ";
    }
}

static int sum_up(const struct round *round) {
    size_t failed = 0;
    unsigned warnings = 0;

    for (size_t i = 0; i < round->count; i++) {
        failed += round->errands[i].report.failed != NULL;
        warnings += round->errands[i].report.warnings;
    }
    if (failed) {
        printf("%zu of %zu issuer%s failed", failed, round->count, round->count == 1 ? "" : "s");
        print_failures(round);
    } else if (round->count == 1) {
        printf("the issuer is fine");
    } else {
        printf("all %zu issuers are fine", round->count);
    }
    if (warnings) printf("; %u warning%s", warnings, warnings == 1 ? "" : "s");
    putchar('\n');
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int go(struct round *round) {
    pthread_t threads[THREADS_MAX];
    size_t running = 0;

    while (running < THREADS_MAX && running < round->count &&
           pthread_create(&threads[running], NULL, run_errands, round) == 0)
        running++;
    if (running == 0) run_errands(round);
    for (size_t i = 0; i < round->count; i++) {
        struct report *report = &round->errands[i].report;
        wait_for(round, &round->errands[i]);
        fwrite(buf_span(&report->text).ptr, 1, report->text.len, stdout);
        fflush(stdout);
    }
    while (running) pthread_join(threads[--running], NULL);
    return sum_up(round);
}

/* --- what to ask ----------------------------------------------------------------------------- */

/* The errands for all issuers, or for the one that is named. Returns how many. */
static size_t choose(const struct config *config, const char *only, struct errand *errands) {
    size_t count = 0;
    for (size_t i = 0; i < config->issuer_count; i++)
        if (!only || strcmp(only, config->issuers[i].issuer) == 0)
            errands[count++].issuer = &config->issuers[i];
    return count;
}

static int refuse_unknown(const struct config *config, const char *only) {
    fprintf(stderr, "bearerd: there is no issuer '%s' in the configuration, which has:\n", only);
    for (size_t i = 0; i < config->issuer_count; i++) {
        const char *issuer = config->issuers[i].issuer;
        const char *hint = issuer_near_miss(span_of(issuer), span_of(only));
        fprintf(stderr, "  %s%s%s%s\n", issuer, *hint ? " (" : "", hint, *hint ? ")" : "");
    }
    return EXIT_USAGE;
}

static int ask(const struct config *config, const char *only) {
    struct round round = {.config = config,
                          .errands = calloc(config->issuer_count, sizeof *round.errands),
                          .lock = PTHREAD_MUTEX_INITIALIZER,
                          .news = PTHREAD_COND_INITIALIZER};
    int code = EXIT_FAILURE;

    if (!round.errands) {
        fputs("bearerd: out of memory\n", stderr);
        return code;
    }
    round.count = choose(config, only, round.errands);
    code = round.count ? go(&round) : refuse_unknown(config, only);
    for (size_t i = 0; i < round.count; i++) report_done(&round.errands[i].report);
    free(round.errands);
    return code;
}

/* False with *ret_exit set where the command ends here. */
static bool read_options(int argc, char **argv, char **ret_file, char **ret_issuer, int *ret_exit) {
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"issuer", required_argument, NULL, 'i'},
                                            {"online", no_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int option;

    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (option == 'c') *ret_file = optarg;
        if (option == 'i') *ret_issuer = optarg;
        if (option == 'h' || option == '?') {
            fputs(help, option == 'h' ? stdout : stderr);
            *ret_exit = option == 'h' ? EXIT_SUCCESS : EXIT_USAGE;
            return false;
        }
    }
    if (optind == argc) return true;
    fprintf(stderr, "bearerd: unexpected argument '%s'\n%s", argv[optind], help);
    *ret_exit = EXIT_USAGE;
    return false;
}

int online_main(int argc, char **argv, struct config *(*load)(void *file)) {
    char *file = NULL, *issuer = NULL;
    int code;

    if (!read_options(argc, argv, &file, &issuer, &code)) return code;
    CLEANUP(config_unrefp) struct config *config = load(file);
    if (!config) return EXIT_FAILURE;
    /* A server that goes away while it is written to must not end this. */
    signal(SIGPIPE, SIG_IGN);
    printf("%s: the configuration is good\n", config->source);
    return ask(config, issuer);
}
