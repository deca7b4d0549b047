/* What is said about reasons: about each of them, and in words that help. */
#include "server/explain/advice.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>

#include "common/attr.h"
#include "server/answer/problem.h"
#include "server/explain/reasons.h"
#include "tests/support/suite.h"

#define OUTPUT_MAX ((size_t)1 << 20)

TEST(every_reason_has_a_meaning_and_an_advice) {
    for (enum reason reason = 0; reason < REASON_COUNT; reason++) {
        ck_assert_msg(*advice_meaning(reason), "%s has no meaning", reason_name(reason));
        ck_assert_msg(*advice_for(reason), "%s has no advice", reason_name(reason));
    }
    ck_assert_str_eq(advice_meaning(REASON_COUNT), "");
    ck_assert_str_eq(advice_for(REASON_COUNT), "");
}

/* One line each, and no other reason's: rows are easily copied and left so. */
TEST(every_meaning_is_one_line_and_no_others) {
    for (enum reason reason = 0; reason < REASON_COUNT; reason++) {
        const char *texts[] = {advice_meaning(reason), advice_for(reason)};
        for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
            ck_assert_msg(!strchr(texts[i], '\n') && strlen(texts[i]) < 200, "%s", texts[i]);
            char last = texts[i][strlen(texts[i]) - 1];
            ck_assert_msg(isalnum(last) || last == ')', "%s", texts[i]);
        }
        for (enum reason other = 0; other < reason; other++)
            ck_assert_str_ne(advice_meaning(reason), advice_meaning(other));
    }
}

TEST(reasons_are_found_by_name_and_near_ones_are_named) {
    static const struct {
        const char *name, *near;
    } rows[] = {{"tokn_expired", "token_expired"},
                {"TOKEN_EXPIRED", "token_expired"},
                {"upstream_timout", "upstream_timeout"},
                {"completely else", NULL},
                {"", NULL}};
    for (enum reason reason = 0; reason < REASON_COUNT; reason++) {
        const char *near = NULL;
        ck_assert_int_eq(reasons_find(reason_name(reason), &near), reason);
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *near = NULL;
        ck_assert_int_eq(reasons_find(rows[i].name, &near), REASON_COUNT);
        if (rows[i].near)
            ck_assert_str_eq(near, rows[i].near);
        else
            ck_assert_ptr_null(near);
    }
}

static json_t *write_json(bool all, enum reason reason) {
    struct buf out = buf_make(OUTPUT_MAX);
    if (all)
        reasons_write_all(true, &out);
    else
        reasons_write(reason, true, &out);
    ck_assert(buf_ok(&out));
    json_t *json = json_loads(out.data, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(json, "%s", out.data);
    buf_done(&out);
    return json;
}

static void check_object(const json_t *object, enum reason reason) {
    ck_assert_str_eq(json_string_value(json_object_get(object, "reason")), reason_name(reason));
    ck_assert_str_eq(json_string_value(json_object_get(object, "error")), problem_error(reason));
    ck_assert_str_eq(json_string_value(json_object_get(object, "meaning")), advice_meaning(reason));
    ck_assert_str_eq(json_string_value(json_object_get(object, "advice")), advice_for(reason));
    ck_assert_int_eq(json_integer_value(json_object_get(object, "status")), problem_status(reason));
}

TEST(machines_get_each_reason_and_all_of_them) {
    json_t *all = write_json(true, 0);
    ck_assert_int_eq(json_array_size(all), REASON_COUNT);
    for (enum reason reason = 0; reason < REASON_COUNT; reason++) {
        json_t *one = write_json(false, reason);
        check_object(one, reason);
        check_object(json_array_get(all, reason), reason);
        json_decref(one);
    }
    json_decref(all);
}

TEST(people_get_a_line_for_each_and_a_few_for_one) {
    struct buf out = buf_make(OUTPUT_MAX);
    reasons_write(REASON_SCOPE_MISSING, false, &out);
    ck_assert_ptr_nonnull(strstr(out.data, "scope_missing: answered by 403, error "
                                           "insufficient_scope\n"));
    ck_assert_ptr_nonnull(strstr(out.data, advice_meaning(REASON_SCOPE_MISSING)));
    ck_assert_ptr_nonnull(strstr(out.data, advice_for(REASON_SCOPE_MISSING)));
    buf_reset(&out);
    reasons_write_all(false, &out);
    int lines = 0;
    for (const char *at = out.data; (at = strchr(at, '\n')); at++) lines++;
    ck_assert_int_eq(lines, REASON_COUNT);
    buf_done(&out);
}
