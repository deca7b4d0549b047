#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/clock.h"
#include "tests/support/journal.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)
#define TIME "2019-12-08T01:44:17Z"

static int64_t frozen_ms(void) {
    return 1575769457000;
}

static const struct clock_source frozen = {frozen_ms, frozen_ms};

/* --- standard error of this test's process, in our hands ------------------------------------- */

/* Let standard error be fd; time stands still, and whether a journal listens is up to the test. */
static void take_stderr(int fd) {
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    unsetenv("JOURNAL_STREAM");
    clock_replace(&frozen);
}

/* Collect standard error in memory. */
static void capture(enum log_format format, enum log_level level) {
    take_stderr(memfd_create("stderr", MFD_CLOEXEC));
    log_configure(format, level);
}

/* What was written since the last call, NUL-terminated; valid until the next. */
static const char *captured(void) {
    static char text[1 << 20];
    off_t len = lseek(STDERR_FILENO, 0, SEEK_CUR);
    ck_assert_int_lt(len, (off_t)sizeof text);
    ck_assert_int_eq(pread(STDERR_FILENO, text, (size_t)len, 0), len);
    text[len] = '\0';
    ck_assert_int_eq(ftruncate(STDERR_FILENO, 0), 0);
    ck_assert_int_eq(lseek(STDERR_FILENO, 0, SEEK_SET), 0);
    return text;
}

/* Let standard error be a pipe; returns the end to read from, which does not block. */
static int capture_pipe(enum log_format format) {
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    take_stderr(ends[1]);
    close(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    log_configure(format, LOG_DEBUG);
    return ends[0];
}

/* Standard error blocks as it does for a daemon; only the filling must not. */
static void fill_stderr(void) {
    static const char junk[4096];
    fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
    while (write(STDERR_FILENO, junk, sizeof junk) > 0) continue;
    ck_assert_int_eq(errno, EAGAIN);
    fcntl(STDERR_FILENO, F_SETFL, 0);
}

/* Everything in the pipe by now, NUL-terminated; valid until the next call. */
static const char *drain(int fd) {
    static char text[1 << 20];
    size_t len = 0;
    ssize_t n;
    while ((n = read(fd, text + len, sizeof text - 1 - len)) > 0) len += (size_t)n;
    text[len] = '\0';
    return text;
}

static size_t count_lines(const char *text) {
    size_t count = 0;
    for (; *text; text++) count += *text == '\n';
    return count;
}

/* --- one line -------------------------------------------------------------------------------- */

TEST(text_lines) {
    capture(LOG_FORMAT_TEXT, LOG_INFO);
    LOG(LOG_NOTICE, "started");
    ck_assert_str_eq(captured(), TIME " notice: started\n");
    LOG(LOG_INFO, "keys refreshed", LOG_TEXT("issuer", "https://idp.example"),
        LOG_NUMBER("keys", 4));
    ck_assert_str_eq(captured(), TIME " info: keys refreshed issuer=https://idp.example keys=4\n");
}

TEST(json_lines) {
    capture(LOG_FORMAT_JSON, LOG_INFO);
    LOG(LOG_NOTICE, "started");
    ck_assert_str_eq(captured(),
                     "{\"time\":\"" TIME "\",\"level\":\"notice\",\"message\":\"started\"}\n");
    LOG(LOG_ERROR, "say \"x\"", LOG_TEXT("issuer", "https://idp.example"), LOG_NUMBER("keys", -4));
    ck_assert_str_eq(captured(),
                     "{\"time\":\"" TIME "\",\"level\":\"error\",\"message\":\"say \\\"x\\\"\","
                     "\"issuer\":\"https://idp.example\",\"keys\":-4}\n");
}

TEST(absent_fields_are_left_out_and_empty_ones_are_not) {
    capture(LOG_FORMAT_TEXT, LOG_INFO);
    LOG(LOG_INFO, "m", LOG_TEXT("a", NULL), LOG_SPAN("b", SPAN_NONE), LOG_TEXT("c", ""),
        LOG_NUMBER("d", 0));
    ck_assert_str_eq(captured(), TIME " info: m c=\"\" d=0\n");
    log_configure(LOG_FORMAT_JSON, LOG_INFO);
    LOG(LOG_INFO, "m", LOG_TEXT("a", NULL), LOG_TEXT("c", ""));
    ck_assert_str_eq(captured(),
                     "{\"time\":\"" TIME "\",\"level\":\"info\",\"message\":\"m\",\"c\":\"\"}\n");
}

TEST(numbers_of_any_size) {
    capture(LOG_FORMAT_TEXT, LOG_INFO);
    LOG(LOG_INFO, "m", LOG_NUMBER("min", INT64_MIN), LOG_NUMBER("max", INT64_MAX));
    ck_assert_str_eq(captured(),
                     TIME " info: m min=-9223372036854775808 max=9223372036854775807\n");
}

TEST(text_values_are_quoted_unless_plain) {
    static const struct {
        struct span value;
        const char *shown;
    } cases[] = {
        {S("plain-1.2_3/x:y"), "plain-1.2_3/x:y"},
        {S("a b"), "\"a b\""},
        {S("a=b"), "\"a=b\""},
        {S("a\"b"), "\"a\\\"b\""},
        {S("\xc3\xa9"), "\"\xc3\xa9\""},
        {S(" x=1"), "\" x=1\""},
        {S("a\nb"), "\"a\\nb\""},
        {S("\x1b[2J"), "\"\\u001b[2J\""},
        {S("\x7f"), "\"\\u007f\""},
    };
    capture(LOG_FORMAT_TEXT, LOG_INFO);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        LOG(LOG_INFO, "m", LOG_SPAN("v", cases[i].value));
        char *expected = scratch_text(TIME " info: m v=%s\n", cases[i].shown);
        ck_assert_str_eq(captured(), expected);
        free(expected);
    }
}

static const struct span hostile[] = {
    S("x\n" TIME " error: forged"),
    S("x\r\n{\"level\":\"error\"}"),
    S("\r"),
    S("\x1b]0;title\x07\x1b[31m"),
    S("a\0b"),
    S("\0\0\0\0"),
    S("\xff\xfe\x80"),
    S("\xc0\x8a"), /* overlong LF */
    S("\xc2\x85"), /* U+0085, a line end to some */
    S("\xc2\x9b"
      "31m"), /* U+009B, ESC [ to a terminal */
    S("\xed\xa0\x80"),
    S("\"}\n{\"level\":\"error\"}"),
    S("\\\""),
    S("\\"),
    S("\v\f\b\t"),
    S("%s%n"),
    S("\xe2\x80\xa8" TIME " error: forged\xe2\x80\xa9"), /* line ends to some */
    S("\xe2\x80\xae"
      "drawkcab\xe2\x81\xa6"),
    S("\xc2\x9b\xe2\x80"),
};

/* Nothing that steers a terminal: no C0 but the line end, no DEL, no C1 in UTF-8. */
static void check_harmless(const char *line, size_t which) {
    ck_assert_msg(count_lines(line) == 1, "value %zu: %s", which, line);
    for (const unsigned char *c = (const unsigned char *)line; *c; c++) {
        ck_assert_msg(*c >= 0x20 || (*c == '\n' && c[1] == '\0'), "value %zu: 0x%02x", which, *c);
        ck_assert_msg(*c != 0x7f, "value %zu: DEL", which);
        ck_assert_msg(*c != 0xc2 || c[1] >= 0xa0, "value %zu: C1 0x%02x", which, c[1]);
        ck_assert_msg(*c != 0xe2 || c[1] != 0x80 || c[2] < 0xa8 || c[2] > 0xae,
                      "value %zu: U+20%02x", which, c[2] - 0x80);
        ck_assert_msg(*c != 0xe2 || c[1] != 0x81 || c[2] < 0xa6 || c[2] > 0xa9,
                      "value %zu: U+20%02x", which, c[2] - 0x40);
    }
}

TEST(hostile_values_stay_on_one_line_of_text) {
    capture(LOG_FORMAT_TEXT, LOG_INFO);
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
        LOG(LOG_INFO, "m", LOG_SPAN("kid", hostile[i]), LOG_NUMBER("end", 1));
        const char *line = captured();
        check_harmless(line, i);
        ck_assert_msg(strncmp(line, TIME " info: m kid=", strlen(TIME " info: m kid=")) == 0, "%s",
                      line);
        ck_assert_msg(strcmp(line + strlen(line) - 7, " end=1\n") == 0, "%s", line);
    }
}

TEST(hostile_values_stay_inside_their_json_string) {
    capture(LOG_FORMAT_JSON, LOG_INFO);
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
        LOG(LOG_INFO, "m", LOG_SPAN("kid", hostile[i]), LOG_NUMBER("end", 1));
        const char *line = captured();
        check_harmless(line, i);
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        ck_assert_msg(json_object_size(object) == 5, "%s", line);
        ck_assert_str_eq(json_string_value(json_object_get(object, "level")), "info");
        ck_assert(json_is_string(json_object_get(object, "kid")));
        ck_assert_int_eq(json_integer_value(json_object_get(object, "end")), 1);
        json_decref(object);
    }
}

TEST(valid_values_come_back_from_json_unchanged) {
    static const struct span values[] = {S("a\nb\r\x1b\x7f"), S("a\0b"),
                                         S("\xc3\xa9\xf0\x9f\x98\x80"), S("\\u0041\"")};
    capture(LOG_FORMAT_JSON, LOG_INFO);
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        LOG(LOG_INFO, "m", LOG_SPAN("v", values[i]));
        json_t *object = json_loads(captured(), JSON_ALLOW_NUL, NULL);
        const json_t *value = json_object_get(object, "v");
        ck_assert_uint_eq(json_string_length(value), values[i].len);
        ck_assert_mem_eq(json_string_value(value), values[i].ptr, values[i].len);
        json_decref(object);
    }
}

/* --- ceilings -------------------------------------------------------------------------------- */

/* Length of the value of "v" as logged, after len bytes of fill and tail. */
static size_t logged_length(const char *fill, size_t len, const char *tail) {
    char *value = calloc(1, len + strlen(tail) + 1);
    for (size_t i = 0; i < len; i++) value[i] = fill[i % strlen(fill)];
    strcpy(value + len, tail);
    LOG(LOG_INFO, "m", LOG_TEXT("v", value));
    json_t *object = json_loads(captured(), 0, NULL);
    ck_assert_ptr_nonnull(object);
    size_t logged = json_string_length(json_object_get(object, "v"));
    json_decref(object);
    free(value);
    return logged;
}

TEST(values_are_cut_and_never_inside_a_character) {
    capture(LOG_FORMAT_JSON, LOG_INFO);
    ck_assert_uint_eq(logged_length("x", 511, ""), 511);
    ck_assert_uint_eq(logged_length("x", 512, ""), 512);
    ck_assert_uint_eq(logged_length("x", 513, ""), 512);
    ck_assert_uint_eq(logged_length("x", 100000, ""), 512);
    ck_assert_uint_eq(logged_length("x", 510, "\xc3\xa9"), 512);
    ck_assert_uint_eq(logged_length("x", 511, "\xc3\xa9"), 511);
    ck_assert_uint_eq(logged_length("x", 510, "\xe2\x82\xac"), 510);
    ck_assert_uint_eq(logged_length("x", 509, "\xf0\x9f\x98\x80"), 509);
    ck_assert_uint_eq(logged_length("x", 512, "\xf0\x9f\x98\x80"), 512);
}

TEST(a_long_value_of_continuation_bytes_is_cut_not_swallowed) {
    capture(LOG_FORMAT_JSON, LOG_INFO);
    size_t logged = logged_length("\x80", 2000, "");
    ck_assert_msg(logged >= 509 * 3, "%zu bytes of U+FFFD", logged);
}

/* However many long hostile values a line has, it is written: nobody hides his own line. It also
 * stays below PIPE_BUF, so that a pipe takes it whole or not at all. */
TEST(many_long_hostile_values_do_not_lose_the_line) {
    static const char *const fills[] = {"\x01", "\xff", "\"", "x", "\xc2\x9b", "\xe2\x80\xa8"};

    for (size_t f = 0; f < ARRAY_LEN(fills); f++) {
        char value[5000];
        for (size_t i = 0; i < sizeof value; i++) value[i] = fills[f][i % strlen(fills[f])];
        struct span v = {value, sizeof value};
        for (int format = LOG_FORMAT_JSON; format <= LOG_FORMAT_TEXT; format++) {
            capture((enum log_format)format, LOG_INFO);
            LOG(LOG_INFO, "m", LOG_SPAN("a", v), LOG_SPAN("b", v), LOG_SPAN("c", v),
                LOG_SPAN("d", v), LOG_SPAN("e", v), LOG_SPAN("f", v), LOG_SPAN("g", v),
                LOG_SPAN("h", v), LOG_SPAN("i", v), LOG_SPAN("j", v), LOG_SPAN("k", v),
                LOG_NUMBER("end", 1));
            const char *line = captured();
            check_harmless(line, f);
            ck_assert_uint_le(strlen(line), 4096);
            ck_assert_ptr_nonnull(
                strstr(line, format == LOG_FORMAT_JSON ? "\"end\":1}" : " end=1"));
        }
    }
}

/* --- levels ---------------------------------------------------------------------------------- */

TEST(levels_let_through_what_is_as_urgent) {
    static const enum log_level levels[] = {LOG_ERROR, LOG_WARNING, LOG_NOTICE, LOG_INFO,
                                            LOG_DEBUG};
    static const char *const names[] = {"error", "warning", "notice", "info", "debug"};

    for (size_t configured = 0; configured < ARRAY_LEN(levels); configured++) {
        capture(LOG_FORMAT_TEXT, levels[configured]);
        for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
            bool expected = i <= configured;
            ck_assert(log_enabled(levels[i]) == expected);
            LOG(levels[i], "m");
            char *line = scratch_text(TIME " %s: m\n", names[i]);
            ck_assert_str_eq(captured(), expected ? line : "");
            free(line);
        }
    }
}

static int evaluated;

static const char *expensive(void) {
    evaluated++;
    return "x";
}

TEST(values_of_a_silent_level_are_not_computed) {
    capture(LOG_FORMAT_TEXT, LOG_INFO);
    LOG(LOG_DEBUG, "m", LOG_TEXT("v", expensive()));
    ck_assert_int_eq(evaluated, 0);
    LOG(LOG_INFO, "m", LOG_TEXT("v", expensive()));
    ck_assert_int_eq(evaluated, 1);
}

TEST(info_and_text_is_the_default) {
    take_stderr(memfd_create("stderr", MFD_CLOEXEC));
    LOG(LOG_INFO, "m");
    LOG(LOG_DEBUG, "n");
    ck_assert_str_eq(captured(), TIME " info: m\n");
}

TEST(a_redirected_log_is_not_taken_for_the_journal) {
    int pipe_end = capture_pipe(LOG_FORMAT_TEXT);

    setenv("JOURNAL_STREAM", "8:12345", 1);
    LOG(LOG_ERROR, "bad");
    ck_assert_str_eq(drain(pipe_end), TIME " error: bad\n");
}

TEST(the_journal_gets_priorities_with_text_and_json_as_everywhere_by_standard_error) {
    int pipe_end = capture_pipe(LOG_FORMAT_TEXT);

    char stream[64];
    struct stat status;
    ck_assert_int_eq(fstat(STDERR_FILENO, &status), 0);
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    LOG(LOG_ERROR, "bad", LOG_NUMBER("n", 1));
    LOG(LOG_DEBUG, "fine");
    ck_assert_str_eq(drain(pipe_end), "<3>error: bad n=1\n<7>debug: fine\n");
    log_configure(LOG_FORMAT_JSON, LOG_DEBUG);
    LOG(LOG_WARNING, "m");
    ck_assert_str_eq(drain(pipe_end),
                     "{\"time\":\"" TIME "\",\"level\":\"warning\",\"message\":\"m\"}\n");
}

/* --- entries of the journal ------------------------------------------------------------------ */

static void check_entry(int fd, const char *expected) {
    char *entry = journal_read(fd, 5000);
    ck_assert_ptr_nonnull(entry);
    ck_assert_str_eq(entry, expected);
    free(entry);
}

#define FROM_US "SYSLOG_IDENTIFIER=bearerd\n"

TEST(an_entry_has_a_field_for_each_field_and_a_message_to_read) {
    int fd = journal_start();
    capture(LOG_FORMAT_JOURNAL, LOG_DEBUG);
    LOG(LOG_NOTICE, "ready");
    check_entry(fd, "MESSAGE=ready\nPRIORITY=5\n" FROM_US "BEARERD_EVENT=ready\n");
    LOG(LOG_INFO, "refused", LOG_TEXT("reason", "token_expired"), LOG_TEXT("why", "a b"),
        LOG_TEXT("user", NULL), LOG_NUMBER("took_ms", -3), LOG_TEXT("path", ""));
    check_entry(fd, "MESSAGE=refused reason=token_expired why=\"a b\" took_ms=-3 path=\"\"\n"
                    "PRIORITY=6\n" FROM_US "BEARERD_EVENT=refused\n"
                    "BEARERD_REASON=token_expired\nBEARERD_WHY=a b\nBEARERD_TOOK_MS=-3\n"
                    "BEARERD_PATH=\n");
    log_batch_begin();
    LOG(LOG_ERROR, "bad");
    check_entry(fd, "MESSAGE=bad\nPRIORITY=3\n" FROM_US "BEARERD_EVENT=bad\n");
    log_batch_end();
    ck_assert_str_eq(captured(), "");
}

static size_t count_text(const char *text, const char *piece) {
    size_t count = 0;
    for (; (text = strstr(text, piece)); text++) count++;
    return count;
}

TEST(hostile_values_add_no_field_to_an_entry) {
    int fd = journal_start();
    capture(LOG_FORMAT_JOURNAL, LOG_INFO);
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
        LOG(LOG_INFO, "m", LOG_SPAN("kid", hostile[i]));
        char *entry = journal_read(fd, 5000);
        ck_assert_msg(count_lines(entry) == 5, "%s", entry);
        for (char *line = strtok(entry, "\n"); line; line = strtok(NULL, "\n")) {
            char *whole = scratch_text("%s\n", line);
            check_harmless(whole, i);
            free(whole);
        }
        free(entry);
    }
}

TEST(many_long_hostile_values_do_not_lose_the_entry) {
    static const char *const fills[] = {"\x01", "\xff", "\"", "x", "\xc2\x9b"};
    int fd = journal_start();
    capture(LOG_FORMAT_JOURNAL, LOG_INFO);
    for (size_t f = 0; f < ARRAY_LEN(fills); f++) {
        char value[5000];
        for (size_t i = 0; i < sizeof value; i++) value[i] = fills[f][i % strlen(fills[f])];
        struct span v = {value, sizeof value};
        LOG(LOG_INFO, "m", LOG_SPAN("a", v), LOG_SPAN("b", v), LOG_SPAN("c", v), LOG_SPAN("d", v),
            LOG_SPAN("e", v), LOG_SPAN("f", v), LOG_SPAN("g", v), LOG_SPAN("h", v),
            LOG_SPAN("i", v), LOG_SPAN("j", v), LOG_SPAN("k", v), LOG_NUMBER("end", 1));
        char *entry = journal_read(fd, 5000);
        ck_assert_uint_le(strlen(entry), 16384);
        ck_assert_ptr_nonnull(strstr(entry, " end=1\n"));
        ck_assert_ptr_nonnull(strstr(entry, "\nBEARERD_END=1\n"));
        ck_assert_uint_eq(count_text(entry, "\nBEARERD_"), 13);
        free(entry);
    }
}

TEST(without_a_journal_lines_are_text_after_one_warning_until_it_is_there) {
    int fd = journal_start();
    journal_stop(fd);
    capture(LOG_FORMAT_JOURNAL, LOG_INFO);
    for (int round = 0; round < 2; round++) {
        LOG(LOG_INFO, "one", LOG_NUMBER("n", 1));
        LOG(LOG_ERROR, "two");
        ck_assert_str_eq(captured(), TIME
                         " warning: the journal cannot be reached, logging text to standard error "
                         "socket=/run/systemd/journal/socket\n" TIME " info: one n=1\n" TIME
                         " error: two\n");
        fd = journal_restart();
        LOG(LOG_INFO, "three");
        check_entry(fd, "MESSAGE=three\nPRIORITY=6\n" FROM_US "BEARERD_EVENT=three\n");
        ck_assert_str_eq(captured(), "");
        journal_stop(fd);
    }
}

TEST_WITHIN(a_stuck_journal_never_blocks_and_the_loss_is_reported_once, 10) {
    int fd = journal_start();
    uint64_t before = log_dropped();
    capture(LOG_FORMAT_JOURNAL, LOG_INFO);
    uint64_t said = 0, kept = 0;
    while (log_dropped() < before + 3) {
        LOG(LOG_INFO, "m");
        ck_assert_uint_lt(++said, 1000000);
    }
    for (char *entry; (entry = journal_read(fd, 0)); kept++) free(entry);
    ck_assert_uint_eq(kept + 3, said);
    LOG(LOG_INFO, "after");
    check_entry(fd, "MESSAGE=after\nPRIORITY=6\n" FROM_US "BEARERD_EVENT=after\n");
    check_entry(fd, "MESSAGE=log lines were lost: the journal did not take them lines=3\n"
                    "PRIORITY=4\n" FROM_US
                    "BEARERD_EVENT=log lines were lost: the journal did not take them\n"
                    "BEARERD_LINES=3\n");
    LOG(LOG_INFO, "later");
    check_entry(fd, "MESSAGE=later\nPRIORITY=6\n" FROM_US "BEARERD_EVENT=later\n");
    ck_assert_str_eq(captured(), "");
}

/* --- repeated lines -------------------------------------------------------------------------- */

static int64_t moving_ms;

static int64_t read_moving(void) {
    return moving_ms;
}

/* Time goes on by hand, from that of the frozen clock. */
static void capture_moving(enum log_format format) {
    static const struct clock_source moving = {frozen_ms, read_moving};
    capture(format, LOG_DEBUG);
    moving_ms = 1000;
    clock_replace(&moving);
}

static void warn(const char *issuer, int times) {
    for (int i = 0; i < times; i++)
        LOG(LOG_WARNING, "no keys yet", LOG_TEXT("issuer", issuer), LOG_NUMBER("failures", i));
}

TEST(a_warning_that_comes_again_and_again_is_counted_and_told_by_the_next_line_after) {
    capture_moving(LOG_FORMAT_TEXT);
    warn("https://a", 25);
    warn("https://b", 3);
    const char *text = captured();
    ck_assert_uint_eq(count_lines(text), 13);
    ck_assert_ptr_nonnull(strstr(text, "issuer=https://a failures=9\n"));
    ck_assert_ptr_null(strstr(text, "issuer=https://a failures=10\n"));

    moving_ms += 9999;
    LOG(LOG_INFO, "m");
    ck_assert_str_eq(captured(), TIME " info: m\n");
    moving_ms += 1;
    LOG(LOG_INFO, "m");
    ck_assert_str_eq(captured(),
                     TIME " warning: no keys yet issuer=https://a repeated=15\n" TIME " info: m\n");
    warn("https://a", 1);
    ck_assert_str_eq(captured(), TIME " warning: no keys yet issuer=https://a failures=0\n");
}

TEST(repeats_are_told_when_asked_and_in_every_format) {
    capture_moving(LOG_FORMAT_JSON);
    warn("https://a", 11);
    captured();
    log_tell_repeats(false);
    ck_assert_str_eq(captured(), "");
    log_tell_repeats(true);
    ck_assert_str_eq(captured(),
                     "{\"time\":\"" TIME "\",\"level\":\"warning\",\"message\":\"no keys "
                     "yet\",\"issuer\":\"https://a\",\"repeated\":1}\n");
    log_tell_repeats(true);
    ck_assert_str_eq(captured(), "");
}

TEST(lines_less_urgent_than_a_warning_are_all_written) {
    static const enum log_level levels[] = {LOG_NOTICE, LOG_INFO, LOG_DEBUG};
    capture_moving(LOG_FORMAT_TEXT);
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        for (int line = 0; line < 50; line++) LOG(levels[i], "m");
    ck_assert_uint_eq(count_lines(captured()), 150);
    for (int line = 0; line < 50; line++) LOG(LOG_ERROR, "m");
    ck_assert_uint_eq(count_lines(captured()), 10);
}

TEST(lines_of_a_silent_level_are_not_counted) {
    capture_moving(LOG_FORMAT_TEXT);
    log_configure(LOG_FORMAT_TEXT, LOG_ERROR);
    warn("https://a", 50);
    log_tell_repeats(true);
    ck_assert_str_eq(captured(), "");
}

/* --- batches --------------------------------------------------------------------------------- */

TEST(a_batch_is_written_at_flush_in_order) {
    capture(LOG_FORMAT_TEXT, LOG_INFO);
    log_batch_begin();
    LOG(LOG_INFO, "one");
    LOG(LOG_INFO, "two");
    ck_assert_str_eq(captured(), "");
    log_batch_flush();
    ck_assert_str_eq(captured(), TIME " info: one\n" TIME " info: two\n");
    log_batch_flush();
    ck_assert_str_eq(captured(), "");
    LOG(LOG_INFO, "three");
    log_batch_end();
    ck_assert_str_eq(captured(), TIME " info: three\n");
    LOG(LOG_INFO, "four");
    ck_assert_str_eq(captured(), TIME " info: four\n");
}

TEST(batch_calls_out_of_order_are_harmless) {
    capture(LOG_FORMAT_TEXT, LOG_INFO);
    log_batch_flush();
    log_batch_end();
    log_batch_begin();
    LOG(LOG_INFO, "one");
    log_batch_begin();
    LOG(LOG_INFO, "two");
    log_batch_end();
    log_batch_end();
    ck_assert_str_eq(captured(), TIME " info: one\n" TIME " info: two\n");
}

TEST(a_full_batch_flushes_itself_and_loses_nothing) {
    enum { LINES = 5000 };
    char *expected = NULL;

    capture(LOG_FORMAT_TEXT, LOG_INFO);
    log_batch_begin();
    for (int i = 0; i < LINES; i++) LOG(LOG_INFO, "m", LOG_NUMBER("i", i));
    log_batch_end();
    const char *text = captured();
    ck_assert_uint_eq(count_lines(text), LINES);
    for (int i = 0; i < LINES; i++) {
        expected = scratch_text(TIME " info: m i=%d\n", i);
        ck_assert_int_eq(strncmp(text, expected, strlen(expected)), 0);
        text += strlen(expected);
        free(expected);
    }
}

/* --- standard error that does not take it ---------------------------------------------------- */

TEST_WITHIN(a_full_pipe_never_blocks_and_the_loss_is_reported_once, 5) {
    int pipe_end = capture_pipe(LOG_FORMAT_TEXT);

    fill_stderr();
    for (int i = 0; i < 3; i++) LOG(LOG_INFO, "lost");
    drain(pipe_end);
    LOG(LOG_INFO, "after");
    ck_assert_str_eq(drain(pipe_end), TIME
                     " info: after\n" TIME
                     " warning: log lines were lost: standard error did not take them lines=3\n");
    LOG(LOG_INFO, "later");
    ck_assert_str_eq(drain(pipe_end), TIME " info: later\n");
}

TEST_WITHIN(a_full_pipe_counts_the_lines_of_a_batch, 5) {
    int pipe_end = capture_pipe(LOG_FORMAT_JSON);

    fill_stderr();
    log_batch_begin();
    for (int i = 0; i < 1000; i++) LOG(LOG_INFO, "lost");
    log_batch_flush();
    drain(pipe_end);
    log_batch_end();
    LOG(LOG_INFO, "after");
    const char *text = drain(pipe_end);
    ck_assert_uint_eq(count_lines(text), 2);
    ck_assert_ptr_nonnull(strstr(text, "\"lines\":1000}\n"));
}

TEST(a_closed_standard_error_is_harmless) {
    capture(LOG_FORMAT_JSON, LOG_INFO);
    int keep = dup(STDERR_FILENO);
    close(STDERR_FILENO);
    LOG(LOG_ERROR, "lost");
    log_batch_begin();
    LOG(LOG_ERROR, "lost");
    log_batch_end();
    dup2(keep, STDERR_FILENO);
    LOG(LOG_ERROR, "after");
    const char *text = captured();
    ck_assert_uint_eq(count_lines(text), 2);
    ck_assert_ptr_nonnull(strstr(text, "\"lines\":2}\n"));
}

TEST(a_pipe_nobody_reads_is_harmless) {
    int pipe_end = capture_pipe(LOG_FORMAT_TEXT);

    signal(SIGPIPE, SIG_IGN); /* as the daemon does */
    close(pipe_end);
    for (int i = 0; i < 5; i++) LOG(LOG_ERROR, "lost");
    capture(LOG_FORMAT_TEXT, LOG_INFO);
    LOG(LOG_INFO, "after");
    ck_assert_ptr_nonnull(strstr(captured(), "lines=5\n"));
}

TEST(a_full_disk_is_harmless) {
    take_stderr(open("/dev/full", O_WRONLY | O_CLOEXEC));
    LOG(LOG_ERROR, "lost");
    capture(LOG_FORMAT_TEXT, LOG_INFO);
    LOG(LOG_INFO, "after");
    ck_assert_ptr_nonnull(strstr(captured(), "lines=1\n"));
}

/* --- threads --------------------------------------------------------------------------------- */

enum { THREADS = 8, LINES_EACH = 2000 };

/* Half the threads use batches; the values, escaped, make lines as long as they get. */
static void *log_much(void *argument) {
    bool batched = argument != NULL;
    char value[LOG_VALUE_MAX];
    memset(value, 1, sizeof value);
    struct span v = {value, sizeof value};

    if (batched) log_batch_begin();
    for (int i = 0; i < LINES_EACH; i++) {
        LOG(LOG_INFO, "m", LOG_NUMBER("i", i), LOG_SPAN("a", i % 7 ? S("x") : v), LOG_SPAN("b", v));
        if (batched && i % 10 == 0) log_batch_flush();
    }
    if (batched) log_batch_end();
    return NULL;
}

/* Parse each whole line of the first *len bytes, keep the rest. Returns the lines seen. */
static size_t take_lines(char *text, size_t *len, uint64_t *lost) {
    size_t count = 0;
    char *start = text, *end;

    while ((end = memchr(start, '\n', *len - (size_t)(start - text)))) {
        json_t *line = json_loadb(start, (size_t)(end - start), 0, NULL);
        ck_assert_msg(json_is_object(line), "%.*s", (int)(end - start > 200 ? 200 : end - start),
                      start);
        const json_t *lines = json_object_get(line, "lines");
        if (lines)
            *lost += (uint64_t)json_integer_value(lines);
        else
            count++;
        json_decref(line);
        start = end + 1;
    }
    *len -= (size_t)(start - text);
    memmove(text, start, *len);
    return count;
}

TEST_WITHIN(lines_of_many_threads_stay_whole_and_are_all_accounted_for, 60) {
    static char text[1 << 17];
    pthread_t threads[THREADS];
    size_t len = 0, count = 0;
    uint64_t lost = 0;
    int pipe_end = capture_pipe(LOG_FORMAT_JSON);

    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, log_much, i % 2 ? &threads[i] : NULL),
                         0);
    for (size_t joined = 0; joined < THREADS;) {
        ssize_t n = read(pipe_end, text + len, sizeof text - len);
        if (n > 0) len += (size_t)n;
        count += take_lines(text, &len, &lost);
        if (n <= 0 && pthread_tryjoin_np(threads[joined], NULL) == 0) joined++;
    }
    LOG(LOG_INFO, "the last, which brings a report of what was lost");
    ssize_t n;
    while ((n = read(pipe_end, text + len, sizeof text - len)) > 0) {
        len += (size_t)n;
        count += take_lines(text, &len, &lost);
    }
    ck_assert_uint_eq(len, 0);
    ck_assert_uint_eq(count + lost, THREADS * LINES_EACH + 1);
}

static pthread_barrier_t barrier;

enum { ROUNDS = 1000 };

/* Lines of three quarters of a page: two of them do not fit into one. */
static void *log_at_once(void *argument) {
    const int *pipe_end = argument;
    char value[LOG_VALUE_MAX];
    memset(value, 1, sizeof value);

    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&barrier);
        LOG(LOG_INFO, "m", LOG_SPAN("v", ((struct span){value, sizeof value})));
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) drain(*pipe_end);
    }
    return NULL;
}

/* Two threads that both see room for one line must not both write: the second would block. */
TEST_WITHIN(many_threads_do_not_block_on_the_last_room_in_a_pipe, 30) {
    pthread_t threads[THREADS];
    int pipe_end = capture_pipe(LOG_FORMAT_TEXT);

    ck_assert_int_eq(fcntl(STDERR_FILENO, F_SETPIPE_SZ, 4096), 4096);
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, log_at_once, &pipe_end), 0);
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    LOG(LOG_INFO, "the end");
    const char *text = drain(pipe_end);
    ck_assert_msg(strstr(text, "the end") != NULL, "%.200s", text);
}
