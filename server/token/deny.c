#include "server/token/deny.h"

#include <stdlib.h>
#include <sys/random.h>

#include "common/json.h"
#include "common/ref.h"
#include "server/token/siphash.h"

struct deny_list {
    struct ref ref;
    struct siphash_key key; /* strangers choose what is looked up */
    struct deny_entry *entries;
    uint64_t *hashes; /* of the entries */
    size_t count, room;
    uint32_t *slots; /* index of an entry, plus 1; 0 = free. Of entries about the same tokens, */
    size_t mask;     /* the one that counts longest. Slots, a power of two, less 1 */
    char *bytes;     /* what the entries point to */
    size_t used;
};

size_t deny_list_count(const struct deny_list *list) {
    return list ? list->count : 0;
}

const struct deny_entry *deny_list_at(const struct deny_list *list, size_t index) {
    return &list->entries[index];
}

struct deny_list *deny_list_ref(struct deny_list *list) {
    if (list) ref_take(&list->ref);
    return list;
}

void deny_list_unref(struct deny_list *list) {
    if (!list || !ref_drop(&list->ref)) return;
    free(list->entries);
    free(list->hashes);
    free(list->slots);
    free(list->bytes);
    free(list);
}

/* --- made from text ------------------------------------------------------------------------ */

static bool make_room(struct deny_list *list) {
    if (list->count < list->room) return true;
    size_t room = list->room ? list->room * 2 : 16;
    struct deny_entry *entries = reallocarray(list->entries, room, sizeof *entries);
    if (entries) list->entries = entries;
    uint64_t *hashes = entries ? reallocarray(list->hashes, room, sizeof *hashes) : NULL;
    if (!hashes) return false;
    list->hashes = hashes;
    list->room = room;
    return true;
}

/* A copy among the list's own bytes. What JSON stands for is never longer than JSON. */
static struct span keep(struct deny_list *list, struct span text) {
    if (!text.ptr) return SPAN_NONE;
    char *at = list->bytes + list->used;
    memcpy(at, text.ptr, text.len);
    list->used += text.len;
    return (struct span){at, text.len};
}

/* Of the issuer too: a value that is denied for many issuers one by one must not make a search
 * slow. */
static uint64_t hash_of(const struct deny_list *list, const struct deny_entry *entry) {
    uint64_t issuer = entry->issuer.ptr ? siphash_1_3(&list->key, entry->issuer) : 0;
    return siphash_1_3(&list->key, entry->value) + (issuer << 32 | issuer >> 32) + entry->by;
}

static int add_line(struct deny_list *list, struct span line, struct err_text *err) {
    CLEANUP(json_decrefp) json_t *object = NULL;
    struct deny_entry entry;

    int r = deny_entry_parse(line, &object, &entry, err);
    if (r < 0) return r;
    if (!make_room(list)) return err_set(err, ERR_MEMORY, "finds no memory");
    list->hashes[list->count] = hash_of(list, &entry);
    list->entries[list->count++] = (struct deny_entry){.by = entry.by,
                                                       .value = keep(list, entry.value),
                                                       .issuer = keep(list, entry.issuer),
                                                       .note = keep(list, entry.note),
                                                       .until = entry.until};
    return 0;
}

static int add_lines(struct deny_list *list, struct span text, const char *name,
                     struct err_text *err) {
    struct span line;
    struct err_text why;

    for (size_t number = 1; span_next(&text, '\n', &line); number++) {
        if (!deny_line_counts(line)) continue;
        int r = add_line(list, line, &why);
        if (r < 0) return err_set(err, r, "%s:%zu: the entry %s", name, number, why.text);
    }
    return 0;
}

/* The slot of an entry about the same tokens, or the free one that it would have. */
static uint32_t *find_slot(const struct deny_list *list, const struct deny_entry *entry,
                           uint64_t hash) {
    for (size_t at = hash & list->mask;; at = (at + 1) & list->mask) {
        uint32_t *slot = &list->slots[at];
        if (*slot == 0) return slot;
        size_t i = *slot - 1;
        if (list->hashes[i] == hash && deny_entry_same(&list->entries[i], entry)) return slot;
    }
}

/* The slots stay at most half full, so that a search soon meets a free one. */
static bool fill_slots(struct deny_list *list) {
    size_t slots = 2;
    while (slots < 2 * list->count) slots *= 2;
    list->slots = calloc(slots, sizeof *list->slots);
    if (!list->slots) return false;
    list->mask = slots - 1;
    for (size_t i = 0; i < list->count; i++) {
        uint32_t *slot = find_slot(list, &list->entries[i], list->hashes[i]);
        if (*slot == 0 || list->entries[*slot - 1].until < list->entries[i].until)
            *slot = (uint32_t)(i + 1);
    }
    return true;
}

int deny_list_parse(struct span text, const char *name, struct deny_list **ret,
                    struct err_text *err) {
    if (text.len > DENY_TEXT_MAX)
        return err_set(err, ERR_LIMIT, "%s: has %zu bytes; a deny list may have %zu", name,
                       text.len, DENY_TEXT_MAX);
    CLEANUP(deny_list_unrefp) struct deny_list *list = calloc(1, sizeof *list);
    if (!list) return err_set(err, ERR_MEMORY, "%s: out of memory", name);
    ref_init(&list->ref);
    list->bytes = malloc(text.len + 1);
    if (!list->bytes) return err_set(err, ERR_MEMORY, "%s: out of memory", name);
    if (getrandom(&list->key, sizeof list->key, 0) != sizeof list->key)
        return err_set(err, ERR_SYSTEM, "%s: the system gives no random bytes", name);

    int r = add_lines(list, text, name, err);
    if (r < 0) return r;
    if (!fill_slots(list)) return err_set(err, ERR_MEMORY, "%s: out of memory", name);
    *ret = TAKE_PTR(list);
    return 0;
}

/* --- asked --------------------------------------------------------------------------------- */

/* The entry about the same tokens that counts longest; NULL: there is none. */
static const struct deny_entry *find_same(const struct deny_list *list,
                                          const struct deny_entry *wanted) {
    uint32_t slot = *find_slot(list, wanted, hash_of(list, wanted));
    return slot ? &list->entries[slot - 1] : NULL;
}

/* deny_list_judge(), with the entry that denies, or that did. */
static enum denied judge(const struct deny_list *list, const struct deny_facts *facts, int64_t now,
                         const struct deny_entry **ret) {
    const struct span issuers[] = {SPAN_NONE, facts->issuer};
    enum denied result = DENIED_NOT;

    if (deny_list_count(list) == 0) return DENIED_NOT;
    for (enum deny_by by = 0; by < DENY_BY_COUNT; by++) {
        if (!facts->by[by].ptr) continue;
        for (size_t i = 0; i < ARRAY_LEN(issuers); i++) {
            struct deny_entry wanted = {.by = by, .value = facts->by[by], .issuer = issuers[i]};
            const struct deny_entry *found = find_same(list, &wanted);
            if (!found) continue;
            enum denied one = now < found->until ? DENIED : DENIED_ONCE;
            if (one <= result) continue;
            result = one;
            *ret = found;
        }
    }
    return result;
}

enum denied deny_list_judge(const struct deny_list *list, const struct deny_facts *facts,
                            int64_t now) {
    const struct deny_entry *unused;
    return judge(list, facts, now, &unused);
}

static enum denied judge_principal(const struct deny_list *list, const struct principal *principal,
                                   const char *kid, int64_t now, const struct deny_entry **ret) {
    if (deny_list_count(list) == 0) return DENIED_NOT;
    const struct config_issuer *issuer = principal_issuer(principal);
    struct deny_facts facts = {.issuer = span_of(issuer->issuer),
                               .by = {[DENY_JTI] = jnode_text(principal_claim(principal, "jti")),
                                      [DENY_SUB] = principal_subject(principal),
                                      [DENY_KID] = span_of(kid)}};
    return judge(list, &facts, now - issuer->leeway / 1000, ret);
}

enum denied deny_list_judge_principal(const struct deny_list *list,
                                      const struct principal *principal, const char *kid,
                                      int64_t now) {
    const struct deny_entry *unused;
    return judge_principal(list, principal, kid, now, &unused);
}

const struct deny_entry *deny_list_find_principal(const struct deny_list *list,
                                                  const struct principal *principal,
                                                  const char *kid, int64_t now) {
    const struct deny_entry *found;
    return judge_principal(list, principal, kid, now, &found) == DENIED ? found : NULL;
}
