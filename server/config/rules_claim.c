#include <stdlib.h>

#include "server/config/check.h"
#include "server/config/json_value.h"
#include "server/config/rules.h"

static const char *const tests[] = {"equals",  "one_of",   "contains",
                                    "present", "at_least", "at_most"};

/* Does text look like a number in another way than JSON writes them: +5, 007, 0x10, 1_000? */
static bool is_odd_number(struct span text) {
    char number[64], *end;
    size_t len = 0;

    if (text.len == 0 || text.len >= sizeof number || json_value_is_number(text)) return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '_') number[len++] = text.ptr[i];
    number[len] = '\0';
    if (!strpbrk(number, "0123456789") || !strchr("+-.0123456789", number[0])) return false;
    strtod(number, &end);
    return !*end;
}

/* The same of true and false: other readers of YAML take these for them. */
static bool is_odd_boolean(struct span text) {
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off"};

    if (span_equal_text(text, "true") || span_equal_text(text, "false")) return false;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (span_equal_nocase(text, span_of(words[i]))) return true;
    return false;
}

/*
 * `not: {claims: [{name: suspended, equals: True}]}` would look for the text "True" and shut nobody
 * out.
 */
static void rule_type(struct problems *problems, const struct node *value, const char *key) {
    if (!value || !value->sound || value->kind != NODE_TEXT || !value->plain) return;
    if (!is_odd_number(value->text) && !is_odd_boolean(value->text)) return;
    PROBLEM_AT(problems, value, key,
               "%.*s may be meant as a text or not; write it in quotes as a text, else as true, "
               "false, or a number such as 5",
               SPAN_PRINTF(value->text));
}

static void rule_types(struct problems *problems, const struct record *claim) {
    const struct node *list = record_sound(claim, "one_of");

    rule_type(problems, record_sound(claim, "equals"), "equals");
    rule_type(problems, record_sound(claim, "contains"), "contains");
    for (const struct node *v = list ? list->first : NULL; v; v = v->next)
        rule_type(problems, v, "one_of");
}

/* In not, what no claim can be would shut nobody out. */
static void rule_possible(struct problems *problems, const struct record *claim) {
    const struct node *low = record_sound(claim, "at_least"),
                      *high = record_sound(claim, "at_most");
    const struct node *present = record_sound(claim, "present");

    /* Text of a node ends with NUL, and a number has none within. */
    if (low && high && strtod(low->text.ptr, NULL) > strtod(high->text.ptr, NULL))
        PROBLEM_AT(problems, low, "at_least",
                   "%.*s is more than at_most (%.*s), which no number is; lower the one or raise "
                   "the other",
                   SPAN_PRINTF(low->text), SPAN_PRINTF(high->text));
    if (!present || !span_equal_text(present->text, "false")) return;
    for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
        if (strcmp(tests[i], "present") == 0 || !record_given(claim, tests[i])) continue;
        PROBLEM_AT(problems, present, "present",
                   "false contradicts %s: a claim that is not there is nothing; keep one of them",
                   tests[i]);
        return;
    }
}

static bool says_something(const struct record *claim) {
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        if (record_given(claim, tests[i])) return true;
    return false;
}

void rules_claim(struct problems *problems, const struct record *claim) {
    const struct node *contains = record_sound(claim, "contains");

    if (!says_something(claim))
        PROBLEM_AT(problems, claim->node, "claims",
                   "says nothing about the claim; write equals, one_of, contains, present: true, "
                   "at_least or at_most");
    if (contains && contains->text.len == 0)
        PROBLEM_AT(problems, contains, "contains", "\"\" is no word; write one, or leave it out");
    rule_types(problems, claim);
    rule_possible(problems, claim);
}
