/*
 * forward_auth: what is taken for the original was said, once, by a field that is known for it or
 * by the path, in every place alike, and whatever the order; everything else has its reason. Input
 * is the target of the asking request, a line end, and field lines.
 */
#include <stdint.h>
#include <stdlib.h>

#include "common/ascii.h"
#include "common/attr.h"
#include "server/answer/forward_auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define S(text) SPAN_LITERAL(text)
#define FIELDS_MAX 64

static void demand(bool truth) {
    if (!truth) abort();
}

static char exact_path[] = "/_auth", subtree_path[] = "/_auth/";
static const struct config_route exact = {.path = exact_path, .respond = RESPOND_FORWARD_AUTH};
static const struct config_route subtree = {
    .path = subtree_path, .subtree = true, .respond = RESPOND_FORWARD_AUTH};

static struct fields read_fields(struct span rest, struct field items[FIELDS_MAX]) {
    struct fields fields = {.items = items};
    struct span line;
    while (fields.count < FIELDS_MAX && span_next(&rest, '\n', &line)) {
        size_t colon = span_find(line, ':');
        if (colon == line.len) continue;
        items[fields.count++] =
            (struct field){span_until(line, colon), span_trim(span_from(line, colon + 1))};
    }
    return fields;
}

/* How many fields have that name; all of them must say this, or end with it. */
static size_t told(struct fields fields, struct span name, struct span said, bool at_the_end) {
    size_t count = 0;
    for (size_t i = 0; i < fields.count; i++) {
        struct span value = fields.items[i].value;
        if (!span_equal_nocase(fields.items[i].name, name)) continue;
        if (at_the_end && value.len > said.len) value = span_from(value, value.len - said.len);
        demand(span_equal(value, said));
        count++;
    }
    demand(count <= 1);
    return count;
}

static void check_found(const struct asking *asking, const struct original *found) {
    struct fields fields = asking->fields;
    bool by_path = asking->route->subtree;

    demand(ascii_is_token(found->method));
    size_t methods = told(fields, S("X-Forwarded-Method"), found->method, false) +
                     told(fields, S("X-Original-Method"), found->method, false) + by_path;
    size_t targets = told(fields, S("X-Forwarded-Uri"), found->target, false) +
                     told(fields, S("X-Original-URI"), found->target, false) +
                     told(fields, S("X-Original-URL"), found->target, true) + by_path;
    demand(methods > 0 && targets > 0);
    told(fields, S("X-Forwarded-Host"), found->host, false);
    if (!by_path) return;
    demand(span_equal(found->method, asking->method));
    demand(span_equal(found->target, span_from(asking->raw_target, strlen(exact_path))));
}

static bool is_same(struct span a, struct span b) {
    return span_equal(a, b) || (span_is_absent(a) && span_is_absent(b));
}

static void check(struct asking asking) {
    struct field reversed[FIELDS_MAX];
    struct original found = {SPAN_NONE, SPAN_NONE, SPAN_NONE}, again = found;
    struct refusal refusal = {0};

    bool ok = forward_auth_original(&asking, &found, &refusal);
    if (ok) {
        check_found(&asking, &found);
    } else {
        demand(refusal.reason == REASON_ORIGINAL && refusal.text[0]);
        demand(!found.method.ptr && !found.target.ptr && !found.host.ptr);
    }
    for (size_t i = 0; i < asking.fields.count; i++)
        reversed[i] = asking.fields.items[asking.fields.count - 1 - i];
    asking.fields.items = reversed;
    demand(forward_auth_original(&asking, &again, &refusal) == ok);
    demand(is_same(found.method, again.method) && is_same(found.target, again.target) &&
           is_same(found.host, again.host));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span input = {(const char *)data, size};
    size_t end = span_find(input, '\n');
    struct field items[FIELDS_MAX];
    struct asking asking = {.method = S("GET"),
                            .host = S("gate.example"),
                            .raw_target = span_until(input, end),
                            .fields = read_fields(span_from(input, end + 1), items)};

    asking.route = &exact;
    check(asking);
    asking.route = &subtree;
    check(asking);
    asking.host = SPAN_NONE;
    check(asking);
    return 0;
}
