#include "server/online/report.h"

#include "tests/support/suite.h"

static void expect(struct report *report, const char *text) {
    ck_assert_str_eq(buf_span(&report->text).ptr, text);
    report_done(report);
}

TEST(a_report_is_lines_in_columns) {
    struct report report = report_make("https://idp.example");
    report_line(&report, OUTCOME_OK, "resolve", 3, "%s", "good");
    report_line(&report, OUTCOME_NOTE, "key", REPORT_UNTIMED, "%d", 7);
    report_line(&report, OUTCOME_FAIL, "discovery", 12345, "bad");
    report_more(&report, "more %s", "words");
    report_advice(&report, "");
    report_advice(&report, "mend it");
    ck_assert_str_eq(report.failed, "discovery");
    ck_assert_uint_eq(report.warnings, 0);
    expect(&report, "https://idp.example\n"
                    "  ok    resolve       3 ms  good\n"
                    "  note  key                 7\n"
                    "  FAIL  discovery 12345 ms  bad\n"
                    "                            more words\n"
                    "                            do: mend it\n");
}

TEST(the_first_failure_counts_and_every_warning) {
    struct report report = report_make("x");
    ck_assert_ptr_null(report.failed);
    report_line(&report, OUTCOME_WARN, "tls", 1, "a");
    report_line(&report, OUTCOME_WARN, "clock", 1, "b");
    ck_assert_ptr_null(report.failed);
    report_line(&report, OUTCOME_FAIL, "jwks", 1, "c");
    report_line(&report, OUTCOME_FAIL, "keys", 1, "d");
    ck_assert_str_eq(report.failed, "jwks");
    ck_assert_uint_eq(report.warnings, 2);
    report_done(&report);
}

TEST(texts_of_strangers_cannot_steer_a_terminal) {
    static const struct {
        const char *text, *line;
    } rows[] = {
        {"plain", "plain"},
        {"a\x1b[2Jb\nc\rd\te\x7f", "a?[2Jb?c?d?e?"},
        {"Gr\xc3\xbc\xc3\x9f\x65 \xe6\x97\xa5", "Gr\xc3\xbc\xc3\x9f\x65 \xe6\x97\xa5"},
        {"\xc2\x9b[2J \xc2\xa0", "?[2J \xc2\xa0"},
        {"\xe2\x80\xae turned \xe2\x81\xa6", "? turned ?"},
        {"\xff\xc3 cut \xe6\x97", "?? cut ??"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct report report = report_make("x");
        report_more(&report, "%s", rows[i].text);
        const char *line = strchr(buf_span(&report.text).ptr, '\n') + 1 + 28;
        ck_assert_msg(strncmp(line, rows[i].line, strlen(rows[i].line)) == 0 &&
                          strcmp(line + strlen(rows[i].line), "\n") == 0,
                      "row %zu: %s", i, line);
        report_done(&report);
    }
}

TEST(a_line_that_is_too_long_is_cut) {
    char text[5000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct report report = report_make("x");
    report_more(&report, "%s", text);
    ck_assert(buf_ok(&report.text));
    ck_assert_uint_lt(report.text.len, 2200);
    report_done(&report);
}
