#include "server/explain/command.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/ascii.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "server/explain/explain.h"
#include "server/explain/keys.h"
#include "server/explain/question.h"
#include "server/explain/reasons.h"
#include "server/token/deny.h"

#define EXIT_USAGE 2
#define TOKEN_MAX ((size_t)2 * 1024 * 1024)
#define OUTPUT_MAX ((size_t)4 * 1024 * 1024)

static const char help[] =
    "usage: bearerd explain [OPTION...] [TOKEN | @FILE | -]\n"
    "       bearerd explain [--json] --reason NAME | --reasons\n"
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
    "  --json             print JSON\n"
    "  --reason NAME      tell what a reason means that a log or a metric names\n"
    "  --reasons          tell what all of them mean\n"
    "\n"
    "Keys come from the daemon's copy on disk where that has the right one, else from the issuer.\n"
    "Exit code: 0 allowed, 1 refused or not to be told, 2 usage.\n";

struct options {
    char *config;
    const char *url;
    const char *method;
    const char *jwks;
    bool offline;
    bool json;
    const char *reason;
    bool reasons;
    const char *token;
};

/* False with *ret_exit set where the command ends here. */
static bool read_options(int argc, char **argv, struct options *ret, int *ret_exit) {
    enum { URL = 1000, METHOD, JWKS, OFFLINE, JSON, REASON, REASONS };
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"url", required_argument, NULL, URL},
                                            {"method", required_argument, NULL, METHOD},
                                            {"jwks", required_argument, NULL, JWKS},
                                            {"offline", no_argument, NULL, OFFLINE},
                                            {"json", no_argument, NULL, JSON},
                                            {"reason", required_argument, NULL, REASON},
                                            {"reasons", no_argument, NULL, REASONS},
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
        case REASON:
            ret->reason = optarg;
            break;
        case REASONS:
            ret->reasons = true;
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
        fputs("bearerd: more than one argument; put quotes around a token that was copied with "
              "spaces in it\n",
              stderr);
        return false;
    }
    if (!*ret->method || !ascii_is_all(span_of(ret->method), ASCII_TOKEN)) {
        fputs("bearerd: --method is no method, such as GET\n", stderr);
        return false;
    }
    ret->token = optind < argc ? argv[optind] : "-";
    return true;
}

/* --- the token ----------------------------------------------------------------------------- */

static int read_input(struct buf *text, struct err_text *err) {
    char chunk[4096];
    size_t n;

    if (isatty(STDIN_FILENO)) fputs("paste the token, then Enter and Ctrl-D:\n", stderr);
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

/* --- what is asked ------------------------------------------------------------------------- */

/* All that a question needs, to be released in one place. */
struct session {
    struct config *config;
    struct explain_keys keys;
    struct routes *routes;
    struct resources *resources;
    struct deny_list *denied;
    struct err_text not_denied; /* why the list could not be read; "" = it was */
    struct buf header;          /* "Bearer TOKEN" */
    struct span host;
    struct span target;
};

static int fill_header(struct session *session, const char *source, struct err_text *err) {
    CLEANUP(buf_done) struct buf text = buf_make(TOKEN_MAX);

    session->header = buf_make(TOKEN_MAX);
    int r = read_token(source, &text, err);
    if (r < 0) return r;
    tell_cleaned(question_add_header(buf_span(&text), &session->header));
    if (!buf_ok(&session->header)) return err_set(err, ERR_LIMIT, "that is too large for a token");
    if (session->header.len == 0)
        return err_set(err, ERR_SYNTAX, "there is no token in %s",
                       strcmp(source, "-") == 0 ? "standard input"
                       : source[0] == '@'       ? source + 1
                                                : "the argument");
    return 0;
}

static int fill_target(struct session *session, const char *url, struct err_text *err) {
    struct err_text why;

    if (!url) return 0;
    int r = question_read_url(span_of(url), &session->host, &session->target, &why);
    if (r < 0) return err_set(err, r, "the URL %s", why.text);
    if (strchr(url, '#'))
        fputs("note: taken away from the URL: its fragment, which no client sends\n", stderr);
    return 0;
}

/* As the daemon does at its start. Where it cannot be told, that is said, and all else looked at.
 */
static void fill_denied(struct session *session) {
    const char *path = session->config->deny_list;
    CLEANUP(buf_done) struct buf text = buf_make(DENY_TEXT_MAX);
    struct file_facts facts;
    struct err_text why;

    if (!*path) return;
    int r = file_read(path, FILE_NAMED, &text, &facts, &why);
    if (r == 0) r = deny_list_parse(buf_span(&text), path, &session->denied, &why);
    if (r < 0) err_set(&session->not_denied, r, "not looked at: %s", why.text);
}

/* The exit code, EXIT_SUCCESS to go on. */
static int fill_session(struct session *session, const struct options *options,
                        struct config *(*load)(void *file), struct err_text *err) {
    if (fill_header(session, options->token, err) < 0 ||
        fill_target(session, options->url, err) < 0)
        return EXIT_USAGE;
    session->config = load(options->config);
    if (!session->config) {
        err_set(err, ERR_SYNTAX, "there is no good configuration to judge by");
        return EXIT_FAILURE;
    }
    fill_denied(session);
    session->routes = routes_new(session->config);
    session->resources = resources_new(session->config);
    struct span token = span_from(buf_span(&session->header), strlen("Bearer "));
    if (session->routes && session->resources &&
        explain_keys_init(session->config, token, &session->keys) == 0)
        return EXIT_SUCCESS;
    err_set(err, ERR_MEMORY, "out of memory");
    return EXIT_FAILURE;
}

static void end_session(struct session *session) {
    explain_keys_done(&session->keys);
    deny_list_unref(session->denied);
    routes_free(session->routes);
    resources_free(session->resources);
    config_unref(session->config);
    buf_done(&session->header);
}

/* --- the answer ---------------------------------------------------------------------------- */

static int ask(const struct session *session, const struct options *options,
               struct explain_report *ret, struct err_text *err) {
    struct evidence evidence = {.now = clock_wall(),
                                .now_ms = clock_monotonic_ms(),
                                .authorization = buf_span(&session->header),
                                .authorization_count = 1,
                                .denied = session->denied};
    struct explain_question question = {
        .config = session->config,
        .ring = session->keys.ring,
        .notes = session->keys.notes,
        .note_count = session->keys.count,
        .routes = session->routes,
        .resources = session->resources,
        .method = span_of(options->method),
        .host = session->host,
        .target = session->target,
        .evidence = &evidence,
        .not_denied = *session->not_denied.text ? session->not_denied.text : NULL};
    return explain(&question, ret) < 0 ? err_set(err, ERR_MEMORY, "out of memory") : 0;
}

/* With the keys that lie here, then, where they do not do, with those of the issuer. */
static int find_out(struct session *session, const struct options *options,
                    struct explain_report *ret, struct err_text *err) {
    int r = options->jwks ? explain_keys_from_file(&session->keys, options->jwks, err)
                          : explain_keys_from_disk(&session->keys, err);
    if (r == 0) r = ask(session, options, ret, err);
    if (r < 0 || !ret->needs_keys || options->jwks) return r;
    if (options->offline) {
        explain_add_step(ret, "keys", EXPLAIN_NOTE,
                         "nothing was fetched (--offline); the issuer may have newer keys");
        return 0;
    }

    explain_done(ret);
    r = explain_keys_from_issuer(&session->keys, err);
    return r < 0 ? r : ask(session, options, ret, err);
}

static bool print(struct buf *out) {
    bool written =
        buf_ok(out) && fwrite(out->data, 1, out->len, stdout) == out->len && fflush(stdout) == 0;
    buf_done(out);
    return written;
}

static int print_report(const struct explain_report *report, bool json) {
    struct buf out = buf_make(OUTPUT_MAX);

    if (json) {
        explain_write_json(report, &out);
        buf_add_char(&out, '\n');
    } else {
        explain_write_text(report, &out);
    }
    return print(&out) && report->allowed && !report->doubtful ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int explain_token(const struct options *options, struct config *(*load)(void *file)) {
    struct session session = {0};
    struct explain_report report = {0};
    struct err_text err;

    int code = fill_session(&session, options, load, &err);
    bool found = code == EXIT_SUCCESS && find_out(&session, options, &report, &err) == 0;
    if (found)
        code = print_report(&report, options->json);
    else
        fprintf(stderr, "bearerd: %s\n", err.text);
    if (!found && code == EXIT_SUCCESS) code = EXIT_FAILURE;
    explain_done(&report);
    end_session(&session);
    return code;
}

static int explain_reason(const struct options *options) {
    struct buf out = buf_make(OUTPUT_MAX);
    const char *near = NULL;

    if (!options->reason) {
        reasons_write_all(options->json, &out);
        return print(&out) ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    enum reason reason = reasons_find(options->reason, &near);
    if (reason == REASON_COUNT) {
        fprintf(stderr, "bearerd: there is no reason of that name%s%s; --reasons lists all\n",
                near ? "; did you mean " : "", near ? near : "");
        return EXIT_USAGE;
    }
    reasons_write(reason, options->json, &out);
    return print(&out) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int explain_main(int argc, char **argv, struct config *(*load)(void *file)) {
    struct options options;
    int code;

    if (!read_options(argc, argv, &options, &code)) return code;
    /* Whoever stops reading, a pager or a server, must not end this in the middle. */
    signal(SIGPIPE, SIG_IGN);
    if (options.reason || options.reasons) return explain_reason(&options);
    /* What goes wrong with keys is told as a step. */
    log_configure(LOG_FORMAT_TEXT, LOG_ERROR);
    return explain_token(&options, load);
}
