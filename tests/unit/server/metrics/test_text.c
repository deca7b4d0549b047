#include "server/metrics/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define TEXT_MAX ((size_t)1 << 20)

/* --- a server with one of everything --------------------------------------------------------- */

static char orders_path[] = "/orders/*", none[] = "none", orders[] = "orders";
static struct metrics_route_totals routes[] = {{orders_path, {7, 1, 0, 2}}, {none, {0, 3, 0, 0}}};
static struct metrics_upstream_totals upstreams[] = {
    {orders, {5, 1, 0, 0, 0, 0, 2, 9}, {{1, 0, 2}, 1234567890}}};
static struct metrics_totals totals = {.routes = routes,
                                       .route_count = 2,
                                       .upstreams = upstreams,
                                       .upstream_count = 1,
                                       .decisions = {{4, 0, 1, [16] = 2}, 3000000007},
                                       .connections = 12,
                                       .cache = {100, 20, 3, 17, 4096}};
static const struct metrics_issuer issuers[] = {
    {"https://idp.example", true, 4, 61500, 1575769457000, 1, 2, 3, 5},
    {"https://away.example", false, 0, METRICS_UNKNOWN, 0, 0, 0, 9, 0}};
static const struct metrics_target targets[] = {{"orders", "http://10.0.0.5:9001", true},
                                                {"orders", "unix:/run/o.sock", false}};
static struct metrics_snapshot snapshot = {.version = "1.2.3",
                                           .ready = true,
                                           .workers = 4,
                                           .started_ms = 1575769457042,
                                           .reloaded_well = false,
                                           .reloaded_ms = 1575769458000,
                                           .totals = &totals,
                                           .issuers = issuers,
                                           .issuer_count = 2,
                                           .targets = targets,
                                           .target_count = 2,
                                           .connections = 11,
                                           .deny_list_entries = 6,
                                           .log_lines_dropped = 8,
                                           .process = {1048576, 1500, 20, 1024, 1575769450123}};

/* The whole text. The caller frees it. */
static char *write_text(void) {
    struct buf out = buf_make(TEXT_MAX);
    metrics_write(&out, &snapshot);
    ck_assert(buf_ok(&out));
    return out.data;
}

/* --- to the byte ----------------------------------------------------------------------------- */

#define HEAD(name, type, help) "# HELP " name " " help "\n# TYPE " name " " type "\n"
#define REFUSAL(identifier, name, class) "bearerd_refusals_total{reason=\"" name "\"} 0\n"
#define WOULD(identifier, name, class) "bearerd_would_refuse_total{reason=\"" name "\"} 0\n"
#define DECISION(end, count) "bearerd_decision_duration_seconds_bucket{le=\"" end "\"} " count "\n"
#define UPSTREAM(end, count)                                                                       \
    "bearerd_upstream_duration_seconds_bucket{upstream=\"orders\",le=\"" end "\"} " count "\n"
#define BECAME(outcome, count)                                                                     \
    "bearerd_upstream_requests_total{upstream=\"orders\",outcome=\"" outcome "\"} " count "\n"

static const char *const whole[] = {
    HEAD("bearerd_build_info", "gauge", "Always 1; the label tells the version."),
    "bearerd_build_info{version=\"1.2.3\"} 1\n",
    HEAD("bearerd_ready", "gauge",
         "1 when every issuer was tried and one of them has usable keys."),
    "bearerd_ready 1\n",
    HEAD("bearerd_workers", "gauge", "Threads that serve requests."),
    "bearerd_workers 4\n",
    HEAD("bearerd_start_time_seconds", "gauge", "When the server began."),
    "bearerd_start_time_seconds 1575769457.042\n",
    HEAD("bearerd_config_reload_success", "gauge",
         "0 when the last reload failed and the old configuration went on serving."),
    "bearerd_config_reload_success 0\n",
    HEAD("bearerd_config_last_reload_timestamp_seconds", "gauge",
         "When the configuration in force was taken."),
    "bearerd_config_last_reload_timestamp_seconds 1575769458.000\n",
    HEAD("bearerd_requests_total", "counter",
         "Requests by the path of their route as configured, and what became of them."),
    "bearerd_requests_total{route=\"/orders/*\",outcome=\"allowed\"} 7\n",
    "bearerd_requests_total{route=\"/orders/*\",outcome=\"refused\"} 1\n",
    "bearerd_requests_total{route=\"/orders/*\",outcome=\"failed\"} 0\n",
    "bearerd_requests_total{route=\"/orders/*\",outcome=\"own\"} 2\n",
    "bearerd_requests_total{route=\"none\",outcome=\"allowed\"} 0\n",
    "bearerd_requests_total{route=\"none\",outcome=\"refused\"} 3\n",
    "bearerd_requests_total{route=\"none\",outcome=\"failed\"} 0\n",
    "bearerd_requests_total{route=\"none\",outcome=\"own\"} 0\n",
    HEAD("bearerd_refusals_total", "counter",
         "Requests that were refused or failed, by the reason that the log names."),
    REASONS(REFUSAL),
    HEAD("bearerd_would_refuse_total", "counter",
         "Requests that a route with mode: report let through and would have refused."),
    REASONS(WOULD),
    HEAD("bearerd_decision_duration_seconds", "histogram",
         "From the head of a request to the decision, without waiting for keys."),
    DECISION("0.00001", "4"),
    DECISION("0.000025", "4"),
    DECISION("0.00005", "5"),
    DECISION("0.0001", "5"),
    DECISION("0.00025", "5"),
    DECISION("0.0005", "5"),
    DECISION("0.001", "5"),
    DECISION("0.0025", "5"),
    DECISION("0.005", "5"),
    DECISION("0.01", "5"),
    DECISION("0.025", "5"),
    DECISION("0.05", "5"),
    DECISION("0.1", "5"),
    DECISION("0.25", "5"),
    DECISION("0.5", "5"),
    DECISION("1", "5"),
    DECISION("+Inf", "7"),
    "bearerd_decision_duration_seconds_sum 3.000000007\n",
    "bearerd_decision_duration_seconds_count 7\n",
    HEAD("bearerd_upstream_duration_seconds", "histogram",
         "From sending a request to an upstream to the head of its response."),
    UPSTREAM("0.001", "1"),
    UPSTREAM("0.0025", "1"),
    UPSTREAM("0.005", "3"),
    UPSTREAM("0.01", "3"),
    UPSTREAM("0.025", "3"),
    UPSTREAM("0.05", "3"),
    UPSTREAM("0.1", "3"),
    UPSTREAM("0.25", "3"),
    UPSTREAM("0.5", "3"),
    UPSTREAM("1", "3"),
    UPSTREAM("2.5", "3"),
    UPSTREAM("5", "3"),
    UPSTREAM("10", "3"),
    UPSTREAM("30", "3"),
    UPSTREAM("60", "3"),
    UPSTREAM("+Inf", "3"),
    "bearerd_upstream_duration_seconds_sum{upstream=\"orders\"} 1.234567890\n",
    "bearerd_upstream_duration_seconds_count{upstream=\"orders\"} 3\n",
    HEAD("bearerd_upstream_requests_total", "counter",
         "Requests to an upstream, and what became of them there."),
    BECAME("answered", "5"),
    BECAME("error", "1"),
    BECAME("down", "0"),
    BECAME("unreachable", "0"),
    BECAME("closed", "0"),
    BECAME("malformed", "0"),
    BECAME("timeout", "2"),
    BECAME("canceled", "9"),
    HEAD("bearerd_upstream_target_up", "gauge",
         "1 while requests may go to the target, 0 while it is down."),
    "bearerd_upstream_target_up{upstream=\"orders\",target=\"http://10.0.0.5:9001\"} 1\n",
    "bearerd_upstream_target_up{upstream=\"orders\",target=\"unix:/run/o.sock\"} 0\n",
    HEAD("bearerd_token_cache_hits_total", "counter", "Tokens that were found verified before."),
    "bearerd_token_cache_hits_total 100\n",
    HEAD("bearerd_token_cache_misses_total", "counter",
         "Tokens that had to be verified, or were refused."),
    "bearerd_token_cache_misses_total 20\n",
    HEAD("bearerd_token_cache_evictions_total", "counter",
         "Verified tokens that were forgotten to make room."),
    "bearerd_token_cache_evictions_total 3\n",
    HEAD("bearerd_token_cache_entries", "gauge", "Verified tokens that are remembered."),
    "bearerd_token_cache_entries 17\n",
    HEAD("bearerd_token_cache_bytes", "gauge", "Memory that they take, about."),
    "bearerd_token_cache_bytes 4096\n",
    HEAD("bearerd_issuer_usable", "gauge",
         "1 while the issuer has keys that may serve; 0: its tokens get 503."),
    "bearerd_issuer_usable{issuer=\"https://idp.example\"} 1\n",
    "bearerd_issuer_usable{issuer=\"https://away.example\"} 0\n",
    HEAD("bearerd_issuer_keys", "gauge", "Usable keys of the issuer."),
    "bearerd_issuer_keys{issuer=\"https://idp.example\"} 4\n",
    "bearerd_issuer_keys{issuer=\"https://away.example\"} 0\n",
    HEAD("bearerd_issuer_key_age_seconds", "gauge",
         "Since the issuer's keys were fetched or confirmed; none while there never were any."),
    "bearerd_issuer_key_age_seconds{issuer=\"https://idp.example\"} 61.500\n",
    HEAD("bearerd_issuer_last_success_timestamp_seconds", "gauge",
         "When a refresh of the keys last succeeded; 0 if none has since the start."),
    "bearerd_issuer_last_success_timestamp_seconds{issuer=\"https://idp.example\"} "
    "1575769457.000\n",
    "bearerd_issuer_last_success_timestamp_seconds{issuer=\"https://away.example\"} 0.000\n",
    HEAD("bearerd_issuer_refreshes_total", "counter",
         "Refreshes of the issuer's keys that ended, and what they brought."),
    "bearerd_issuer_refreshes_total{issuer=\"https://idp.example\",outcome=\"changed\"} 1\n",
    "bearerd_issuer_refreshes_total{issuer=\"https://idp.example\",outcome=\"unchanged\"} 2\n",
    "bearerd_issuer_refreshes_total{issuer=\"https://idp.example\",outcome=\"failed\"} 3\n",
    "bearerd_issuer_refreshes_total{issuer=\"https://away.example\",outcome=\"changed\"} 0\n",
    "bearerd_issuer_refreshes_total{issuer=\"https://away.example\",outcome=\"unchanged\"} 0\n",
    "bearerd_issuer_refreshes_total{issuer=\"https://away.example\",outcome=\"failed\"} 9\n",
    HEAD("bearerd_issuer_unknown_kid_refreshes_total", "counter",
         "Refreshes that were forced by a token with a kid that was not there."),
    "bearerd_issuer_unknown_kid_refreshes_total{issuer=\"https://idp.example\"} 5\n",
    "bearerd_issuer_unknown_kid_refreshes_total{issuer=\"https://away.example\"} 0\n",
    HEAD("bearerd_connections", "gauge", "Open connections of clients."),
    "bearerd_connections 11\n",
    HEAD("bearerd_connections_total", "counter", "Connections that were accepted."),
    "bearerd_connections_total 12\n",
    HEAD("bearerd_deny_list_entries", "gauge", "Entries of the deny list."),
    "bearerd_deny_list_entries 6\n",
    HEAD("bearerd_log_lines_dropped_total", "counter",
         "Log lines that standard error or the journal did not take."),
    "bearerd_log_lines_dropped_total 8\n",
    HEAD("process_resident_memory_bytes", "gauge", "Resident memory."),
    "process_resident_memory_bytes 1048576\n",
    HEAD("process_cpu_seconds_total", "counter", "Processor time, user and system."),
    "process_cpu_seconds_total 1.500\n",
    HEAD("process_open_fds", "gauge", "Open descriptors."),
    "process_open_fds 20\n",
    HEAD("process_max_fds", "gauge", "Descriptors that may be open."),
    "process_max_fds 1024\n",
    HEAD("process_start_time_seconds", "gauge", "When the process was started."),
    "process_start_time_seconds 1575769450.123\n",
};

/* Fail at the first line that differs. */
static void check_lines(const char *came, const char *expected) {
    while (*came || *expected) {
        size_t came_len = strcspn(came, "\n"), expected_len = strcspn(expected, "\n");
        ck_assert_msg(came_len == expected_len && strncmp(came, expected, came_len) == 0,
                      "came:     %.*s\nexpected: %.*s", (int)came_len, came, (int)expected_len,
                      expected);
        came += came_len + (came[came_len] != '\0');
        expected += expected_len + (expected[expected_len] != '\0');
    }
}

TEST(the_whole_text_is_this_to_the_byte) {
    struct buf expected = buf_make(TEXT_MAX);
    for (size_t i = 0; i < ARRAY_LEN(whole); i++) buf_add_text(&expected, whole[i]);
    char *text = write_text();
    check_lines(text, expected.data);
    ck_assert_str_eq(text, expected.data);
    buf_done(&expected);
    free(text);
}

TEST(counts_stand_beside_their_reason) {
    totals.refusals[REASON_TOKEN_EXPIRED] = 41;
    totals.would_refuse[REASON_SCOPE_MISSING] = 42;
    char *text = write_text();
    ck_assert_ptr_nonnull(strstr(text, "bearerd_refusals_total{reason=\"token_expired\"} 41\n"));
    ck_assert_ptr_nonnull(
        strstr(text, "bearerd_would_refuse_total{reason=\"scope_missing\"} 42\n"));
    ck_assert_ptr_nonnull(strstr(text, "bearerd_refusals_total{reason=\"scope_missing\"} 0\n"));
    free(text);
}

TEST(label_values_are_escaped_and_always_utf_8) {
    static const struct {
        const char *value, *shown;
    } cases[] = {
        {"plain {id} = ,", "plain {id} = ,"},      {"a\"b\\c\nd", "a\\\"b\\\\c\\nd"},
        {"\"} 1\nforged 1", "\\\"} 1\\nforged 1"}, {"\xc3\xa9\xe2\x82\xac", "\xc3\xa9\xe2\x82\xac"},
        {"\xff\xc3", "\xef\xbf\xbd\xef\xbf\xbd"},  {"", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct metrics_issuer issuer = {.issuer = cases[i].value, .keys = 3};
        snapshot.issuers = &issuer;
        snapshot.issuer_count = 1;
        char *line = scratch_text("\nbearerd_issuer_keys{issuer=\"%s\"} 3\n", cases[i].shown);
        char *text = write_text();
        ck_assert_msg(strstr(text, line) != NULL, "case %zu", i);
        free(text);
        free(line);
    }
}

TEST(what_is_unknown_is_left_out) {
    snapshot.process = (struct metrics_process){METRICS_UNKNOWN, METRICS_UNKNOWN, METRICS_UNKNOWN,
                                                METRICS_UNKNOWN, METRICS_UNKNOWN};
    char *text = write_text();
    ck_assert_ptr_null(strstr(text, "\nprocess_"));
    ck_assert_ptr_nonnull(strstr(text, "# TYPE process_open_fds gauge\n"));
    free(text);
}

TEST(numbers_of_any_size_and_times_before_1970) {
    totals.connections = UINT64_MAX;
    snapshot.started_ms = -5000;
    totals.decisions.sum_ns = UINT64_MAX;
    char *text = write_text();
    ck_assert_ptr_nonnull(strstr(text, "bearerd_connections_total 18446744073709551615\n"));
    ck_assert_ptr_nonnull(strstr(text, "bearerd_start_time_seconds 0.000\n"));
    ck_assert_ptr_nonnull(
        strstr(text, "bearerd_decision_duration_seconds_sum 18446744073.709551615\n"));
    free(text);
}

TEST(a_text_that_does_not_fit_is_told) {
    struct buf out = buf_make(1000);
    metrics_write(&out, &snapshot);
    ck_assert(!buf_ok(&out));
    buf_done(&out);
}

/* --- the names, wherever they are used ------------------------------------------------------- */

static char *read_example(const char *name) {
    char *path = scratch_text("conf/examples/%s", name);
    char *text = scratch_read(path, NULL);
    ck_assert_msg(text != NULL, "%s", path);
    free(path);
    return text;
}

static bool is_name_char(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

/* The next word in *at that is named as our metrics are; NULL where there is none. Freed by the
 * caller. */
static char *next_metric(const char **at) {
    static const char *const prefixes[] = {"bearerd_", "process_"};
    for (const char *start = *at; *start; start++) {
        bool starts = false;
        for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
            starts = starts || strncmp(start, prefixes[i], strlen(prefixes[i])) == 0;
        if (!starts || (start > *at && is_name_char(start[-1]))) continue;
        size_t len = 0;
        while (is_name_char(start[len])) len++;
        *at = start + len;
        return strndup(start, len);
    }
    return NULL;
}

/* Is it a metric, or a part of a histogram? */
static bool is_written(const char *text, const char *name) {
    static const char *const parts[] = {"", "_bucket", "_sum", "_count"};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        size_t len = strlen(name), part = strlen(parts[i]);
        if (len < part || strcmp(name + len - part, parts[i]) != 0) continue;
        char *line =
            scratch_text("# TYPE %.*s %s", (int)(len - part), name, part ? "histogram\n" : "");
        bool found = strstr(text, line) != NULL;
        free(line);
        if (found) return true;
    }
    return false;
}

TEST(dashboard_alerts_and_their_tests_use_no_metric_that_there_is_not) {
    static const struct {
        const char *name;
        int at_least;
    } files[] = {{"grafana-dashboard.json", 40},
                 {"prometheus-alerts.yaml", 20},
                 {"../../tests/prometheus/alerts.test.yaml", 40},
                 {"metrics.md", 33}};
    char *text = write_text();
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char *used = read_example(files[i].name);
        const char *at = used;
        int count = 0;
        for (char *name; (name = next_metric(&at)); count++) {
            ck_assert_msg(is_written(text, name), "%s in %s", name, files[i].name);
            free(name);
        }
        ck_assert_int_ge(count, files[i].at_least);
        free(used);
    }
    ck_assert(!is_written(text, "bearerd_nothing_total"));
    ck_assert(!is_written(text, "bearerd_ready_bucket"));
    free(text);
}

/* Append the names of labels, but le, of a sample; at is behind its "{". */
static void add_label_names(struct buf *out, const char *at) {
    for (;;) {
        size_t len = strcspn(at, "=");
        if (strncmp(at, "le=", 3) != 0) {
            buf_add_char(out, out->len ? ',' : '{');
            buf_add(out, (struct span){at, len});
        }
        at = strchr(at + len + strlen("=\""), '"'); /* no value here has one */
        if (at[1] != ',') break;
        at += strlen("\",");
    }
}

/* "{a,b}", the labels of a metric's first sample but le; "" where it has none. */
static struct buf labels_of(const char *text, const char *name) {
    static const char *const parts[] = {"", "_bucket"};
    struct buf labels = buf_make(256);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        char *start = scratch_text("\n%s%s{", name, parts[i]);
        const char *at = strstr(text, start);
        if (at) add_label_names(&labels, at + strlen(start));
        free(start);
    }
    buf_add_text(&labels, labels.len ? "}" : "");
    return labels;
}

TEST(every_metric_is_documented_with_its_type_labels_and_meaning) {
    char *text = write_text(), *documented = read_example("metrics.md");
    int count = 0;
    for (const char *at = text; (at = strstr(at, "# HELP ")); count++) {
        char name[128], help[256], type[32];
        ck_assert_int_eq(sscanf(at, "# HELP %127s %255[^\n]\n# TYPE %*s %31s", name, help, type),
                         3);
        struct buf labels = labels_of(text, name);
        char *row = scratch_text("| `%s%s` | %s | %s |\n", name, labels.data, type, help);
        ck_assert_msg(strstr(documented, row) != NULL, "no row in metrics.md: %s", row);
        free(row);
        buf_done(&labels);
        at += strlen("# HELP ");
    }
    ck_assert_int_eq(count, 33);
    free(documented);
    free(text);
}

/* Each metric has its two lines once, and its samples right behind them. */
TEST(metrics_stand_together_and_once) {
    char *text = write_text();
    char current[128] = "";
    size_t current_len = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            ck_assert_int_eq(sscanf(line, "# HELP %127s", current), 1);
            current_len = strlen(current);
        } else {
            const char *name = strncmp(line, "# TYPE ", 7) == 0 ? line + 7 : line;
            ck_assert_msg(strncmp(name, current, current_len) == 0, "%s", line);
        }
    }
    free(text);
    text = write_text();
    for (const char *at = text; (at = strstr(at, "# HELP "));) {
        char *head = strndup(at, strcspn(at + 7, " ") + 8);
        ck_assert_msg(!strstr(at + 1, head), "%s twice", head);
        free(head);
        at += 7;
    }
    free(text);
}

/* Names as Prometheus wants them: counters end in _total, and only they do. */
TEST(names_follow_the_conventions) {
    char *text = write_text();
    for (const char *at = text; (at = strstr(at, "# TYPE ")); at += 7) {
        char name[128], type[32];
        ck_assert_int_eq(sscanf(at, "# TYPE %127s %31s", name, type), 2);
        bool total = strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0;
        ck_assert_msg(total == (strcmp(type, "counter") == 0), "%s", name);
        ck_assert_msg(!strstr(name, "_ms") && !strstr(name, "_milli"), "%s", name);
    }
    free(text);
}
