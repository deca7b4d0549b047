#include <stdlib.h>

#include "common/buf.h"
#include "server/config/read.h"

/*
 * The environment is written down as YAML and takes the way of every file, so that the same rules
 * hold for it. Each variable has a line of its own, by which a problem finds back to its name.
 */
enum { ISSUER, AUDIENCE, SCOPES, LISTEN, ADMIN, VARIABLES };
static const char *const names[VARIABLES] = {
    [ISSUER] = "OIDC_ISSUER",    [AUDIENCE] = "OIDC_AUDIENCE", [SCOPES] = "OIDC_SCOPES",
    [LISTEN] = "BEARERD_LISTEN", [ADMIN] = "BEARERD_ADMIN",
};

#define TEXT_MAX ((size_t)512 * 1024)

/* Anything else could end a line, and with it the way back to the variable. */
static bool is_printable(struct span text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < ' ' || text.ptr[i] >= 0x7f) return false;
    return true;
}

static void add_list(struct buf *yaml, struct span words) {
    struct span word;
    while (span_next(&words, ' ', &word)) {
        if (word.len == 0) continue;
        buf_add_json(yaml, word);
        buf_add_text(yaml, ", ");
    }
}

/* The value of a variable; otherwise where it is not set or of no use, which is reported. */
static struct span value_of(int variable, struct span otherwise, const char *required,
                            struct problems *problems) {
    struct span value = span_of(getenv(names[variable]));
    struct span words = value, word = SPAN_NONE;

    while (span_next(&words, ' ', &word) && word.len == 0) {
    }
    if (required && word.len == 0) {
        problem_add(problems, (unsigned)variable + 1, 1, "", "required, but not set; set it to %s",
                    required);
        return otherwise;
    }
    if (!is_printable(value)) {
        problem_add(problems, (unsigned)variable + 1, 1, "",
                    "holds a byte that is not printable ASCII; write such a value in a "
                    "configuration file");
        return otherwise;
    }
    return span_is_absent(value) ? otherwise : value;
}

int config_from_environment(struct config **ret, struct config_report *report) {
    struct problems problems = {.variables = names};
    struct buf yaml = buf_make(TEXT_MAX);

    struct span issuer = value_of(ISSUER, SPAN_LITERAL("https://issuer.invalid"),
                                  "the issuer's URL, such as https://idp.example.com", &problems);
    struct span audience = value_of(AUDIENCE, SPAN_LITERAL("none"),
                                    "the audience that tokens must be meant for", &problems);
    struct span scopes = value_of(SCOPES, SPAN_LITERAL("openid"), NULL, &problems);
    struct span listen = value_of(LISTEN, SPAN_NONE, NULL, &problems);
    if (listen.len == 0) listen = SPAN_LITERAL("127.0.0.1:8080");
    struct span admin = value_of(ADMIN, SPAN_LITERAL(""), NULL, &problems);

    buf_add_text(&yaml, "issuers: [{issuer: ");
    buf_add_json(&yaml, issuer);
    buf_add_text(&yaml, ",\n  audiences: [");
    add_list(&yaml, audience);
    buf_add_text(&yaml, "],\n  scopes: [");
    add_list(&yaml, scopes);
    buf_add_text(&yaml, "]}]\nlisten: [{address: ");
    buf_add_json(&yaml, listen);
    buf_add_text(&yaml, "}]\nadmin: {address: ");
    buf_add_json(&yaml, admin);
    buf_add_text(&yaml, "}\nlog: {format: text}\n");

    int r;
    if (buf_ok(&yaml)) {
        r = read_config(buf_span(&yaml), "environment", &problems, ret, report);
    } else {
        problem_add(&problems, 0, 0, NULL,
                    "the variables are too long; write a configuration file");
        r = problems_take(&problems, report);
    }
    buf_done(&yaml);
    return r;
}
