/*
 * The unit under test is compiled into this file, under names of its own and with a hash that can
 * be made to collide.
 */
#define deny_list_parse tested_list_parse
#define deny_list_ref tested_list_ref
#define deny_list_unref tested_list_unref
#define deny_list_unrefp tested_list_unrefp
#define deny_list_count tested_list_count
#define deny_list_at tested_list_at
#define deny_list_judge tested_list_judge
#define deny_list_judge_principal tested_list_judge_principal
#define deny_list_find_principal tested_list_find_principal
#define siphash_1_3 chosen_deny_hash

#include "server/token/deny.c"

#undef siphash_1_3
uint64_t siphash_1_3(const struct siphash_key *key, struct span bytes);

#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)
#define NOW 1700000000 /* 2023-11-14T22:13:20Z */

static bool all_equal;

uint64_t chosen_deny_hash(const struct siphash_key *key, struct span bytes) {
    return all_equal ? 7 : siphash_1_3(key, bytes);
}

static struct deny_list *parse(const char *text) {
    struct deny_list *list = NULL;
    struct err_text why = {""};
    int r = deny_list_parse(span_of(text), "deny", &list, &why);
    ck_assert_msg(r == 0, "%s", why.text);
    return list;
}

static const char list_text[] = "# people that left\n"
                                "{\"sub\":\"alice\"}\n"
                                "\n"
                                "{\"sub\":\"bob\",\"issuer\":\"https://a\"}\r\n"
                                "{\"jti\":\"j1\"}\n"
                                "{\"kid\":\"k1\",\"issuer\":\"https://b\"}\n"
                                "{\"sub\":\"past\",\"until\":\"2023-11-14T22:13:20Z\"}\n"
                                "{\"sub\":\"soon\",\"until\":\"2023-11-14T22:13:21Z\"}\n"
                                "{\"sub\":\"mixed\",\"until\":\"2023-01-01T00:00:00Z\"}\n"
                                "{\"sub\":\"mixed\",\"issuer\":\"https://a\"}\n"
                                "{\"sub\":\"twice\",\"until\":\"2033-01-01T00:00:00Z\"}\n"
                                "{\"sub\":\"twice\",\"until\":\"2023-01-01T00:00:00Z\"}";

static void check_judgements(const struct deny_list *list) {
    static const struct {
        const char *issuer, *jti, *sub, *kid;
        enum denied denied;
    } rows[] = {
        {"https://a", NULL, "alice", NULL, DENIED},
        {"https://b", NULL, "alice", NULL, DENIED},
        {"https://a", NULL, "bob", NULL, DENIED},
        {"https://b", NULL, "bob", NULL, DENIED_NOT},
        {"https://a/", NULL, "bob", NULL, DENIED_NOT},
        {"https://a", "j1", "carol", "k9", DENIED},
        {"https://a", "j1", NULL, NULL, DENIED},
        {"https://b", NULL, "carol", "k1", DENIED},
        {"https://a", NULL, "carol", "k1", DENIED_NOT},
        {"https://a", "alice", "j1", "j1", DENIED_NOT}, /* each by its own member */
        {"https://a", "k1", "k1", "alice", DENIED_NOT},
        {"https://a", NULL, "Alice", NULL, DENIED_NOT},
        {"https://a", NULL, "alice ", NULL, DENIED_NOT},
        {"https://a", NULL, "", NULL, DENIED_NOT},
        {"https://a", NULL, NULL, NULL, DENIED_NOT},
        {"https://a", NULL, "past", NULL, DENIED_ONCE},
        {"https://a", NULL, "soon", NULL, DENIED},
        {"https://a", NULL, "mixed", NULL, DENIED},
        {"https://b", NULL, "mixed", NULL, DENIED_ONCE},
        {"https://b", "j1", "mixed", NULL, DENIED},
        {"https://b", NULL, "twice", NULL, DENIED}, /* the one that counts longest */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct deny_facts facts = {.issuer = span_of(rows[i].issuer),
                                   .by = {[DENY_JTI] = span_of(rows[i].jti),
                                          [DENY_SUB] = span_of(rows[i].sub),
                                          [DENY_KID] = span_of(rows[i].kid)}};
        ck_assert_msg(deny_list_judge(list, &facts, NOW) == rows[i].denied, "row %zu", i);
        ck_assert_int_eq(deny_list_judge(NULL, &facts, NOW), DENIED_NOT);
    }
}

TEST(a_token_is_denied_by_what_the_list_says_and_nothing_else) {
    for (int equal = 0; equal < 2; equal++) {
        all_equal = equal;
        struct deny_list *list = parse(list_text);
        ck_assert_uint_eq(deny_list_count(list), 10);
        check_judgements(list);
        deny_list_unref(list);
    }
}

TEST(the_list_is_in_the_order_of_the_text_and_needs_it_no_more) {
    char *text = strdup(list_text);
    struct deny_list *list = parse(text);
    memset(text, 'x', strlen(text));
    free(text);
    ck_assert(span_equal_text(deny_list_at(list, 0)->value, "alice"));
    ck_assert(span_is_absent(deny_list_at(list, 0)->issuer));
    ck_assert_int_eq(deny_list_at(list, 0)->until, DENY_FOR_EVER);
    ck_assert(span_equal_text(deny_list_at(list, 1)->issuer, "https://a"));
    ck_assert_int_eq(deny_list_at(list, 4)->until, NOW);
    check_judgements(list);
    deny_list_unref(deny_list_ref(list));
    check_judgements(list);
    deny_list_unref(list);
}

TEST(a_text_without_entries_denies_nothing) {
    static const char *const texts[] = {"", "\n", "# nobody\n\n  \r\n"};
    struct deny_facts facts = {.by = {[DENY_SUB] = S("alice")}};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct deny_list *list = parse(texts[i]);
        ck_assert_uint_eq(deny_list_count(list), 0);
        ck_assert_int_eq(deny_list_judge(list, &facts, NOW), DENIED_NOT);
        deny_list_unref(list);
    }
}

TEST(one_bad_line_is_told_and_there_is_no_list) {
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"{\"sub\":\"a\"}\n# x\n\n{\"sub\":\"b\",\"unitl\":\"x\"}\n{\"sub\":\"c\"}\n",
         "deny:4: the entry has the unknown member \"unitl\""},
        {"alice\n", "deny:1: the entry is not valid JSON"},
        {"{\"sub\":\n\"a\"}\n", "deny:1: the entry is not valid JSON"},
        {"{\"sub\":\"a\"}\n{\"sub\":\"b", "deny:2: the entry is not valid JSON"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct deny_list *list = NULL;
        struct err_text why = {""};
        ck_assert_int_eq(deny_list_parse(span_of(rows[i].text), "deny", &list, &why), ERR_SYNTAX);
        ck_assert_ptr_null(list);
        ck_assert_msg(strncmp(why.text, rows[i].why, strlen(rows[i].why)) == 0, "%s", why.text);
    }
}

TEST(a_list_has_a_size) {
    struct span large = {NULL, DENY_TEXT_MAX + 1};
    struct deny_list *list = NULL;
    struct err_text why = {""};
    char *text = calloc(1, large.len);
    memset(text, '\n', large.len);
    large.ptr = text;
    ck_assert_int_eq(deny_list_parse(large, "deny", &list, &why), ERR_LIMIT);
    ck_assert_str_eq(why.text, "deny: has 67108865 bytes; a deny list may have 67108864");
    ck_assert_int_eq(deny_list_parse(span_until(large, DENY_TEXT_MAX), "deny", &list, &why), 0);
    deny_list_unref(list);
    free(text);
}

/* The same line over and over, and one value for ever other issuers: neither is quadratic. */
TEST(repetitions_do_not_make_it_slow) {
    enum { LINES = 200000 };
    struct buf text = buf_make(DENY_TEXT_MAX);
    for (int i = 0; i < LINES; i++) {
        buf_add_text(&text, "{\"kid\":\"k\"}\n");
        buf_addf(&text, "{\"sub\":\"s\",\"issuer\":\"https://%d\"}\n", i);
    }
    struct deny_list *list = parse(text.data);
    ck_assert_uint_eq(deny_list_count(list), 2 * LINES);
    for (int i = 0; i < LINES; i++) {
        char *issuer = scratch_text("https://%d", i + LINES / 2);
        struct deny_facts facts = {.issuer = span_of(issuer), .by = {[DENY_SUB] = S("s")}};
        ck_assert_int_eq(deny_list_judge(list, &facts, NOW), i < LINES / 2 ? DENIED : DENIED_NOT);
        free(issuer);
    }
    deny_list_unref(list);
    buf_done(&text);
}
