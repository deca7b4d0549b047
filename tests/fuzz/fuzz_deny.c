/*
 * deny: a text is read whole or not at all; each of its entries denies what it names and is written
 * to a line that reads the same; and an entry that was put there is in force, and gone once it was
 * taken away, with all other entries as they were.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/token/deny_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW 1700000000

static void demand(bool truth) {
    if (!truth) abort();
}

static enum denied judge(const struct deny_list *list, const struct deny_entry *entry,
                         int64_t now) {
    struct deny_facts facts = {.issuer = entry->issuer};
    facts.by[entry->by] = entry->value;
    return deny_list_judge(list, &facts, now);
}

static bool same(const struct deny_entry *a, const struct deny_entry *b) {
    bool no_notes = !a->note.ptr && !b->note.ptr;
    return deny_entry_same(a, b) && a->until == b->until &&
           (no_notes || span_equal(a->note, b->note));
}

static void check_entry(const struct deny_list *list, const struct deny_entry *entry) {
    struct deny_entry again;
    struct err_text err = {""};
    json_t *object = NULL;
    struct buf line = buf_make(8 * DENY_LINE_MAX);

    demand(entry->value.len > 0 && (!entry->issuer.ptr || entry->issuer.len > 0));
    demand(judge(list, entry, INT64_MIN) == DENIED);
    if (entry->until != DENY_FOR_EVER) demand(judge(list, entry, entry->until - 1) == DENIED);
    deny_entry_add(entry, &line);
    demand(buf_ok(&line) && !memchr(line.data, '\n', line.len) &&
           deny_line_counts(buf_span(&line)));
    int r = deny_entry_parse(buf_span(&line), &object, &again, &err);
    /* Escapes make a line longer. */
    demand(r == 0 ? same(entry, &again) : r == ERR_LIMIT && line.len > DENY_LINE_MAX);
    json_decref(object);
    buf_done(&line);
}

static struct deny_list *parse(struct span text) {
    struct deny_list *list = NULL;
    struct err_text err = {""};
    int r = deny_list_parse(text, "deny", &list, &err);
    demand((r == 0) == (list != NULL) && (r == 0) == !*err.text);
    return list;
}

/* Put an entry there that is not, and take it away. */
static void check_change(struct span text, const struct deny_list *list) {
    static const struct deny_entry added = {
        .by = DENY_JTI, .value = {"\x01", 1}, .until = DENY_FOR_EVER};
    struct buf with = buf_make(DENY_TEXT_MAX), without = buf_make(DENY_TEXT_MAX);
    size_t count;

    if (judge(list, &added, NOW) != DENIED_NOT) return;
    demand(deny_text_add(text, "deny", &added, NOW, &with, &count, NULL) == 0 && count == 1);
    struct deny_list *more = parse(buf_span(&with));
    demand(more && judge(more, &added, NOW) == DENIED);
    demand(deny_text_remove(buf_span(&with), "deny", &added, NOW, &without, &count, NULL) == 0);
    struct deny_list *less = parse(buf_span(&without));
    demand(count == 1 && less && judge(less, &added, NOW) == DENIED_NOT);
    for (size_t i = 0; i < deny_list_count(list); i++)
        demand((judge(list, deny_list_at(list, i), NOW) == DENIED) ==
               (judge(less, deny_list_at(list, i), NOW) == DENIED));
    deny_list_unref(more);
    deny_list_unref(less);
    buf_done(&with);
    buf_done(&without);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span text = {(const char *)data, size};
    struct deny_list *list = parse(text);
    if (!list) return 0;
    for (size_t i = 0; i < deny_list_count(list); i++) check_entry(list, deny_list_at(list, i));
    check_change(text, list);
    deny_list_unref(list);
    return 0;
}
