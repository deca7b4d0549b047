#include "server/token/deny_entry.h"

#include <time.h>

#include "common/clock.h"
#include "common/json.h"

const char *const deny_names[DENY_BY_COUNT] = {
    [DENY_JTI] = "jti", [DENY_SUB] = "sub", [DENY_KID] = "kid"};

#define SHOWN_MAX 40 /* bytes of a foreign name */

/* --- read ---------------------------------------------------------------------------------- */

bool deny_line_counts(struct span line) {
    size_t at = 0;
    while (at < line.len && strchr(" \t\r", line.ptr[at]) && line.ptr[at]) at++;
    return at < line.len && line.ptr[at] != '#';
}

static int digits(const char *text, int count) {
    int value = 0;
    for (int i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9') return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

/* What it stands for must be written in the very same way, so that no 31st of June slips in. */
static int parse_until(struct span text, int64_t *ret, struct err_text *err) {
    static const char form[] = "2026-12-01T00:00:00Z";
    char again[CLOCK_TEXT_MAX];

    if (text.len == sizeof form - 1) {
        struct tm utc = {.tm_year = digits(text.ptr, 4) - 1900,
                         .tm_mon = digits(text.ptr + 5, 2) - 1,
                         .tm_mday = digits(text.ptr + 8, 2),
                         .tm_hour = digits(text.ptr + 11, 2),
                         .tm_min = digits(text.ptr + 14, 2),
                         .tm_sec = digits(text.ptr + 17, 2)};
        *ret = timegm(&utc);
        if (span_equal_text(text, clock_format(*ret, again))) return 0;
    }
    return err_set(err, ERR_SYNTAX, "has an until that is no moment in UTC; write it as \"%s\"",
                   form);
}

static int refuse_unknown(const char *name, struct err_text *err) {
    struct buf quoted = buf_make(8 * SHOWN_MAX);
    size_t len = strlen(name);

    buf_add_json(&quoted, span_until(span_of(name), SHOWN_MAX));
    err_set(err, ERR_SYNTAX,
            "has the unknown member %s%s; the members are jti, sub or kid, and issuer, until, note",
            quoted.data ? quoted.data : "", len > SHOWN_MAX ? "..." : "");
    buf_done(&quoted);
    return ERR_SYNTAX;
}

/* A member that says which tokens are meant; there may be one. */
static int take_value(enum deny_by by, struct span text, struct deny_entry *entry,
                      struct err_text *err) {
    if (entry->value.ptr)
        return err_set(err, ERR_SYNTAX,
                       "has both %s and %s; write an entry for each, on lines of their own",
                       deny_names[entry->by], deny_names[by]);
    if (text.len == 0)
        return err_set(err, ERR_SYNTAX, "has an empty %s; say which tokens are denied",
                       deny_names[by]);
    entry->by = by;
    entry->value = text;
    return 0;
}

static int take_issuer(struct span text, struct deny_entry *entry, struct err_text *err) {
    if (text.len == 0)
        return err_set(err, ERR_SYNTAX,
                       "has an empty issuer; leave it out where every issuer is meant");
    entry->issuer = text;
    return 0;
}

static int take_member(const char *name, const json_t *node, struct deny_entry *entry,
                       struct err_text *err) {
    struct span text = json_span(node);
    bool issuer = strcmp(name, "issuer") == 0, until = strcmp(name, "until") == 0;
    bool note = strcmp(name, "note") == 0;
    enum deny_by by = 0;

    while (by < DENY_BY_COUNT && strcmp(name, deny_names[by]) != 0) by++;
    if (by == DENY_BY_COUNT && !issuer && !until && !note) return refuse_unknown(name, err);
    if (span_is_absent(text))
        return err_set(err, ERR_SYNTAX, "has a %s that is no string; write it in quotes", name);
    if (issuer) return take_issuer(text, entry, err);
    if (until) return parse_until(text, &entry->until, err);
    if (!note) return take_value(by, text, entry, err);
    entry->note = text;
    return 0;
}

int deny_entry_parse(struct span line, json_t **ret_object, struct deny_entry *ret,
                     struct err_text *err) {
    struct deny_entry entry = {.until = DENY_FOR_EVER};
    struct err_text why;
    const char *name;
    json_t *node;

    if (line.len > DENY_LINE_MAX)
        return err_set(err, ERR_LIMIT, "has %zu bytes; an entry may have %zu", line.len,
                       DENY_LINE_MAX);
    CLEANUP(json_decrefp) json_t *object = NULL;
    int r = json_read_object(line, &object, &why);
    if (r < 0)
        return err_set(err, r, "%s; write an object on one line, such as {\"sub\": \"alice\"}",
                       why.text);
    json_object_foreach(object, name, node) {
        r = take_member(name, node, &entry, err);
        if (r < 0) return r;
    }
    if (!entry.value.ptr)
        return err_set(err, ERR_SYNTAX,
                       "has none of jti, sub and kid; say which tokens are denied");
    *ret = entry;
    *ret_object = TAKE_PTR(object);
    return 0;
}

/* --- write --------------------------------------------------------------------------------- */

static void add_member(const char *name, struct span value, struct buf *out) {
    if (!value.ptr) return;
    buf_addf(out, ", \"%s\": ", name);
    buf_add_json(out, value);
}

void deny_entry_add(const struct deny_entry *entry, struct buf *out) {
    char text[CLOCK_TEXT_MAX];

    buf_addf(out, "{\"%s\": ", deny_names[entry->by]);
    buf_add_json(out, entry->value);
    add_member("issuer", entry->issuer, out);
    if (entry->until != DENY_FOR_EVER)
        add_member("until", span_of(clock_format(entry->until, text)), out);
    add_member("note", entry->note, out);
    buf_add_char(out, '}');
}

bool deny_entry_same(const struct deny_entry *a, const struct deny_entry *b) {
    bool everywhere = !a->issuer.ptr && !b->issuer.ptr;
    return a->by == b->by && span_equal(a->value, b->value) &&
           (everywhere || span_equal(a->issuer, b->issuer));
}
