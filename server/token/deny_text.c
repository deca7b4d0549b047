#include "server/token/deny_text.h"

#include "common/json.h"

/* What becomes of the line of an entry. */
enum fate { STAYS, GOES, ENDED };

struct change {
    const struct deny_entry *entry;
    int64_t now;
    bool remove;
    size_t removed;
    bool there; /* an entry says already what is to be added */
};

static bool is_meant(const struct deny_entry *wanted, const struct deny_entry *entry) {
    return deny_entry_same(wanted, entry) &&
           (wanted->until == DENY_FOR_EVER || wanted->until == entry->until) &&
           (!wanted->note.ptr || span_equal(wanted->note, entry->note));
}

static enum fate judge(struct change *change, const struct deny_entry *entry) {
    if (change->remove && is_meant(change->entry, entry)) return GOES;
    if (change->now - DENY_KEPT_S >= entry->until) return ENDED;
    if (deny_entry_same(change->entry, entry) && change->entry->until <= entry->until)
        change->there = true;
    return STAYS;
}

static int walk_lines(struct span text, const char *name, struct change *change, struct buf *out,
                      struct err_text *err) {
    for (size_t number = 1; text.len; number++) {
        struct span line = span_until(text, span_find(text, '\n') + 1);
        struct span said = span_until(line, span_find(line, '\n'));
        enum fate fate = STAYS;

        text = span_from(text, line.len);
        if (deny_line_counts(said)) {
            CLEANUP(json_decrefp) json_t *object = NULL;
            struct deny_entry entry;
            struct err_text why;
            int r = deny_entry_parse(said, &object, &entry, &why);
            if (r < 0) return err_set(err, r, "%s:%zu: the entry %s", name, number, why.text);
            fate = judge(change, &entry);
        }
        change->removed += fate == GOES;
        if (fate == STAYS) buf_add(out, line);
    }
    return 0;
}

static int is_full(const char *name, struct err_text *err) {
    return err_set(err, ERR_LIMIT, "%s: a deny list may have %zu bytes, and no more", name,
                   DENY_TEXT_MAX);
}

int deny_text_add(struct span text, const char *name, const struct deny_entry *entry, int64_t now,
                  struct buf *out, size_t *ret_count, struct err_text *err) {
    struct change change = {.entry = entry, .now = now};

    int r = walk_lines(text, name, &change, out, err);
    if (r < 0) return r;
    if (!change.there) {
        if (out->len && out->data[out->len - 1] != '\n') buf_add_char(out, '\n');
        deny_entry_add(entry, out);
        buf_add_char(out, '\n');
    }
    *ret_count = !change.there;
    return buf_ok(out) ? 0 : is_full(name, err);
}

int deny_text_remove(struct span text, const char *name, const struct deny_entry *entry,
                     int64_t now, struct buf *out, size_t *ret_count, struct err_text *err) {
    struct change change = {.entry = entry, .now = now, .remove = true};

    int r = walk_lines(text, name, &change, out, err);
    *ret_count = change.removed;
    if (r == 0 && !buf_ok(out)) r = is_full(name, err);
    return r;
}
