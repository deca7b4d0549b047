#include "server/explain/command.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "server/explain/explain.h"
#include "server/explain/keys.h"
#include "server/explain/question.h"

#define EXIT_USAGE 2
#define TOKEN_MAX ((size_t)2 * 1024 * 1024)
#define OUTPUT_MAX ((size_t)4 * 1024 * 1024)

static const char help[] =
    "usage: bearerd explain [OPTION...] [TOKEN | @FILE | -]\n"
    "\n"
    "Tell step by step why a token is let through or refused, and what to change. The token comes\n"
    "from the argument, from a file, or from standard input (-, or nothing); white space and a\n"
    "leading 'Bearer' are taken away. An argument is seen by every user of this machine (ps):\n"
    "prefer the others. No signature is printed.\n"
    "\n"
    "  -c, --config FILE  the configuration, as for 'bearerd run'\n"
    "  --url URL          judge a request for this URL or path, not the token alone\n"
    "  --method METHOD    with this method (default: GET)\n"
    "  --jwks FILE        take the issuer's keys from this file\n"
    "  --offline          fetch nothing: take the keys that the daemon keeps on disk\n"
    "  --json             print one JSON object\n"
    "\n"
    "Keys come from the daemon's copy on disk where that has the right one, else from the issuer.\n"
    "Exit code: 0 allowed, 1 refused, 2 usage.\n";

struct options {
    char *config;
    const char *url;
    const char *method;
    const char *jwks;
    bool offline;
    bool json;
    const char *token;
};

/* False with *ret_exit set where the command ends here. */
static bool read_options(int argc, char **argv, struct options *ret, int *ret_exit) {
    enum { URL = 1000, METHOD, JWKS, OFFLINE, JSON };
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"url", required_argument, NULL, URL},
                                            {"method", required_argument, NULL, METHOD},
                                            {"jwks", required_argument, NULL, JWKS},
                                            {"offline", no_argument, NULL, OFFLINE},
                                            {"json", no_argument, NULL, JSON},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int option;

    *ret = (struct options){.method = "GET"};
    *ret_exit = EXIT_USAGE;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            ret->config = optarg;
            break;
        case URL:
            ret->url = optarg;
            break;
        case METHOD:
            ret->method = optarg;
            break;
        case JWKS:
            ret->jwks = optarg;
            break;
        case OFFLINE:
            ret->offline = true;
            break;
        case JSON:
            ret->json = true;
            break;
        case 'h':
            fputs(help, stdout);
            *ret_exit = EXIT_SUCCESS;
            return false;
        default:
            fputs(help, stderr);
            return false;
        }
    }
    if (argc - optind > 1) {
        fprintf(stderr, "bearerd: unexpected argument '%.40s'; a token has no spaces: quote it\n",
                argv[optind + 1]);
        return false;
    }
    ret->token = optind < argc ? argv[optind] : "-";
    return true;
}

/* --- the token ----------------------------------------------------------------------------- */

static int read_input(struct buf *text, struct err_text *err) {
    char chunk[4096];
    size_t n;

    while ((n = fread(chunk, 1, sizeof chunk, stdin)) > 0) buf_add(text, (struct span){chunk, n});
    if (ferror(stdin)) return err_set(err, ERR_SYSTEM, "standard input cannot be read: %m");
    if (!buf_ok(text)) return err_set(err, ERR_LIMIT, "standard input is too large for a token");
    return 0;
}

static int read_token(const char *source, struct buf *text, struct err_text *err) {
    struct file_facts facts;

    if (strcmp(source, "-") == 0) return read_input(text, err);
    if (source[0] != '@') {
        buf_add_text(text, source);
        return 0;
    }
    int r = file_read(source + 1, FILE_NAMED, text, &facts, err);
    if (r == 0 && !facts.exists) r = err_set(err, ERR_SYSTEM, "%s is not there", source + 1);
    return r;
}

/* People must know that what they copied is not what was judged. */
static void tell_cleaned(struct question_cleaned cleaned) {
    const char *const what[] = {cleaned.space ? "white space" : NULL,
                                cleaned.prefix ? "a leading 'Bearer'" : NULL,
                                cleaned.quotes ? "quotes" : NULL};
    const char *before = "note: taken away from the token: ";

    for (size_t i = 0; i < ARRAY_LEN(what); i++) {
        if (!what[i]) continue;
        fprintf(stderr, "%s%s", before, what[i]);
        before = ", ";
    }
    if (*before == ',') fputc('\n', stderr);
}

/* --- the answer ---------------------------------------------------------------------------- */

/* All that a question needs, to be released in one place. */
struct session {
    struct config *config;
    struct keyring *ring;
    struct routes *routes;
    struct resources *resources;
    struct buf header; /* "Bearer TOKEN" */
    struct span host;
    struct span target;
};

static int ask(const struct session *session, const struct options *options,
               struct explain_report *ret) {
    struct evidence evidence = {.now = clock_wall(),
                                .now_ms = clock_monotonic_ms(),
                                .authorization = buf_span(&session->header),
                                .authorization_count = 1};
    struct explain_question question = {.config = session->config,
                                        .ring = session->ring,
                                        .routes = session->routes,
                                        .resources = session->resources,
                                        .method = span_of(options->method),
                                        .host = session->host,
                                        .target = session->target,
                                        .evidence = &evidence};
    return explain(&question, ret);
}

/* With the keys that lie here, then, where they do not do, with those of the issuer. */
static int find_out(struct session *session, const struct options *options,
                    struct explain_report *ret, struct err_text *err) {
    struct span token = span_from(buf_span(&session->header), strlen("Bearer "));
    int issuer = explain_find_issuer(session->config, token);

    int r = options->jwks ? explain_keys_from_file(session->config, issuer, options->jwks,
                                                   &session->ring, err)
                          : explain_keys_from_disk(session->config, issuer, &session->ring, err);
    if (r < 0) return r;
    if (ask(session, options, ret) < 0) return err_set(err, ERR_MEMORY, "out of memory");
    if (!ret->needs_keys || options->jwks || options->offline) return 0;

    explain_done(ret);
    keyring_unref(session->ring);
    session->ring = NULL;
    r = explain_keys_from_issuer(session->config, issuer, &session->ring, err);
    if (r < 0) return r;
    return ask(session, options, ret) < 0 ? err_set(err, ERR_MEMORY, "out of memory") : 0;
}

static int print(const struct explain_report *report, bool json) {
    struct buf out = buf_make(OUTPUT_MAX);

    if (json) {
        explain_write_json(report, &out);
        buf_add_char(&out, '\n');
    } else {
        explain_write_text(report, &out);
    }
    bool written =
        buf_ok(&out) && fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
    buf_done(&out);
    return written && report->allowed ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int fill_session(struct session *session, const struct options *options,
                        struct config *(*load)(void *file), struct err_text *err) {
    struct buf text = buf_make(TOKEN_MAX);

    session->header = buf_make(TOKEN_MAX);
    int r = read_token(options->token, &text, err);
    if (r == 0) tell_cleaned(question_add_header(buf_span(&text), &session->header));
    buf_done(&text);
    if (r < 0) return r;
    if (options->url) {
        r = question_read_url(span_of(options->url), &session->host, &session->target, err);
        if (r < 0) return r;
    }
    session->config = load(options->config);
    if (!session->config) return err_set(err, ERR_SYNTAX, "there is no good configuration");
    session->routes = routes_new(session->config);
    session->resources = resources_new(session->config);
    return session->routes && session->resources && buf_ok(&session->header)
               ? 0
               : err_set(err, ERR_MEMORY, "out of memory");
}

static void end_session(struct session *session) {
    keyring_unref(session->ring);
    routes_free(session->routes);
    resources_free(session->resources);
    config_unref(session->config);
    buf_done(&session->header);
}

int explain_main(int argc, char **argv, struct config *(*load)(void *file)) {
    struct session session = {0};
    struct explain_report report = {0};
    struct options options;
    struct err_text err;
    int code = EXIT_FAILURE;

    if (!read_options(argc, argv, &options, &code)) return code;
    log_configure(LOG_FORMAT_TEXT, LOG_WARNING);
    int r = fill_session(&session, &options, load, &err);
    if (r == 0) r = find_out(&session, &options, &report, &err);
    if (r == 0)
        code = print(&report, options.json);
    else
        fprintf(stderr, "bearerd: %s\n", err.text);
    if (r < 0) code = EXIT_FAILURE;
    explain_done(&report);
    end_session(&session);
    return code;
}
