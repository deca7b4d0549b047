/* Prometheus itself scrapes the daemon, by the example that ships, and evaluates its alerts. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/span.h"
#include "tests/integration/observed.h"
#include "tests/support/front.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define START_MS (15000 * OBSERVED_SLOW)
#define SCRAPED_MS (15000 * OBSERVED_SLOW)
#define HOST "Host: localhost\r\n"

struct prometheus {
    struct process *process;
    int port;
    char *folder;
};

static bool is_installed(void) {
    const char *path = getenv("PATH");
    struct span rest = span_of(path ? path : "/usr/bin"), folder;
    bool found = false;
    while (!found && span_next(&rest, ':', &folder)) {
        char *program = scratch_text("%.*s/prometheus", SPAN_PRINTF(folder));
        found = access(program, X_OK) == 0;
        free(program);
    }
    return found;
}

/* The examples, as they ship but for the address and the pace. */
static void install(const struct prometheus *prometheus, int admin) {
    char *target = scratch_text("127.0.0.1:%d", admin);
    const char *const changes[] = {"10.0.0.5:8081",
                                   target,
                                   "scrape_interval: 15s",
                                   "scrape_interval: 250ms",
                                   "evaluation_interval: 15s",
                                   "evaluation_interval: 250ms",
                                   NULL};
    const char *const none[] = {NULL};
    char *config = front_example("prometheus.yaml", changes);
    char *alerts = front_example("prometheus-alerts.yaml", none);
    free(scratch_file(prometheus->folder, "prometheus.yaml", span_of(config)));
    free(scratch_file(prometheus->folder, "prometheus-alerts.yaml", span_of(alerts)));
    free(alerts);
    free(config);
    free(target);
}

static struct prometheus prometheus_start(int admin) {
    struct prometheus prometheus = {.port = process_free_port(), .folder = scratch_new()};
    install(&prometheus, admin);
    char *config = scratch_text("--config.file=%s/prometheus.yaml", prometheus.folder);
    char *data = scratch_text("--storage.tsdb.path=%s/data", prometheus.folder);
    char *listen = scratch_text("--web.listen-address=127.0.0.1:%d", prometheus.port);
    const char *const argv[] = {"prometheus", config, data, listen, NULL};
    prometheus.process = process_start(argv, NULL);
    if (!process_wait_port(prometheus.process, prometheus.port, START_MS)) {
        char *errors = process_errors(prometheus.process);
        ck_abort_msg("prometheus does not listen: %.3000s", errors);
    }
    free(listen);
    free(data);
    free(config);
    return prometheus;
}

static void prometheus_stop(struct prometheus *prometheus) {
    process_free(prometheus->process);
    free(prometheus->folder);
}

/* --- its API --------------------------------------------------------------------------------- */

/* The "data" of an answer; NULL where there is none yet. The caller drops it. */
static json_t *ask(const struct prometheus *prometheus, const char *target) {
    struct response response;
    if (observed_ask(prometheus->port, "GET", target, HOST, &response) != 200) {
        client_response_done(&response);
        return NULL;
    }
    json_t *json = json_loads(response.body, 0, NULL);
    json_t *data = json_incref(json_object_get(json, "data"));
    json_decref(json);
    client_response_done(&response);
    return data;
}

/* The value of the one series that a query finds, as text; NULL where it finds none, or several. */
static char *query(const struct prometheus *prometheus, const char *expression) {
    char *encoded = calloc(3, strlen(expression) + 1), *end = encoded;
    for (const char *c = expression; *c; c++)
        end += sprintf(end, isalnum((unsigned char)*c) ? "%c" : "%%%02X", (unsigned char)*c);
    char *target = scratch_text("/api/v1/query?query=%s", encoded);
    json_t *data = ask(prometheus, target), *result = json_object_get(data, "result");
    json_t *value = json_object_get(json_array_get(result, 0), "value");
    const char *text = json_string_value(json_array_get(value, 1));
    char *copy = text && json_array_size(result) == 1 ? strdup(text) : NULL;
    json_decref(data);
    free(target);
    free(encoded);
    return copy;
}

static void await_value(const struct prometheus *prometheus, const char *expression,
                        const char *expected) {
    long until = process_now_ms() + SCRAPED_MS;
    for (;; process_sleep_ms(50)) {
        char *value = query(prometheus, expression);
        bool same = value && strcmp(value, expected) == 0;
        ck_assert_msg(same || process_now_ms() < until, "%s is %s, never %s", expression,
                      value ? value : "absent", expected);
        free(value);
        if (same) return;
    }
}

static const char *text_of(json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/* Have all rules been evaluated, each without an error? *ret_count is how many there are. */
static bool are_sound(json_t *data, size_t *ret_count) {
    json_t *group, *rule;
    size_t i, k;
    bool all = true;
    *ret_count = 0;
    json_array_foreach(json_object_get(data, "groups"), i, group) {
        json_array_foreach(json_object_get(group, "rules"), k, rule) {
            const char *health = text_of(rule, "health");
            ck_assert_msg(strcmp(health, "err") != 0, "%s: %s", text_of(rule, "name"),
                          text_of(rule, "lastError"));
            if (strcmp(health, "ok") != 0) all = false;
            ++*ret_count;
        }
    }
    return all;
}

/* How many alerts the shipped file has. */
static size_t count_alerts(void) {
    const char *const none[] = {NULL};
    char *alerts = front_example("prometheus-alerts.yaml", none);
    size_t count = 0;
    for (const char *at = alerts; (at = strstr(at, "- alert: ")); at++) count++;
    free(alerts);
    return count;
}

static void await_rules(const struct prometheus *prometheus) {
    long until = process_now_ms() + SCRAPED_MS;
    size_t count = 0;
    for (;; process_sleep_ms(50)) {
        json_t *data = ask(prometheus, "/api/v1/rules?type=alert");
        bool sound = are_sound(data, &count) && count > 0;
        json_decref(data);
        if (sound) break;
        ck_assert_msg(process_now_ms() < until, "not all of the %zu rules were evaluated", count);
    }
    ck_assert_uint_eq(count, count_alerts());
}

/* The state of an alert, or "inactive". The caller frees it. */
static char *state_of(const struct prometheus *prometheus, const char *name) {
    json_t *data = ask(prometheus, "/api/v1/alerts"), *alert;
    char *state = NULL;
    size_t i;
    json_array_foreach(json_object_get(data, "alerts"), i, alert) {
        if (strcmp(text_of(json_object_get(alert, "labels"), "alertname"), name) != 0) continue;
        free(state);
        state = strdup(text_of(alert, "state"));
    }
    json_decref(data);
    return state ? state : strdup("inactive");
}

static void await_alert(const struct prometheus *prometheus, const char *name, const char *state) {
    long until = process_now_ms() + SCRAPED_MS;
    for (;; process_sleep_ms(50)) {
        char *is = state_of(prometheus, name);
        bool same = strcmp(is, state) == 0;
        ck_assert_msg(same || process_now_ms() < until, "%s is %s, never %s", name, is, state);
        free(is);
        if (same) return;
    }
}

/* --- tests ----------------------------------------------------------------------------------- */

TEST_WITHIN(prometheus_scrapes_by_the_example_and_its_alerts_see_an_issuer_that_is_down,
            60 * OBSERVED_SLOW) {
    if (!is_installed()) test_skip("prometheus is not installed");
    struct observed observed = observed_start(
        &(struct observed_options){.issuer = ", refresh_interval: 1s, max_stale: 1s"});
    struct prometheus prometheus = prometheus_start(observed.admin);
    await_value(&prometheus, "up{job=\"bearerd\"}", "1");

    for (int i = 0; i < 7; i++) observed_request(&observed, "/profile/", NULL, 401);
    for (int i = 0; i < 5; i++) observed_request(&observed, "/", NULL, 200);
    await_value(&prometheus, "bearerd_requests_total{route=\"/profile/\",outcome=\"refused\"}",
                "7");
    await_value(&prometheus, "bearerd_requests_total{route=\"/\",outcome=\"own\"}", "5");
    await_value(&prometheus, "sum(bearerd_requests_total)", "12");
    await_value(&prometheus, "bearerd_refusals_total{reason=\"no_credentials\"}", "7");
    /* A histogram that it can make a quantile of. */
    await_value(&prometheus,
                "histogram_quantile(1, sum by (le) (bearerd_decision_duration_seconds_bucket)) > "
                "bool 0",
                "1");
    /* All of the text was taken. */
    await_value(&prometheus, "scrape_samples_scraped > bool 100", "1");
    await_rules(&prometheus);

    /* The alert waits for a minute before it tells anybody. */
    issuer_down(observed.issuer);
    await_alert(&prometheus, "BearerdIssuerUnusable", "pending");
    await_value(&prometheus, "bearerd_issuer_usable", "0");
    issuer_up(observed.issuer);
    ck_assert_int_eq(observed_ask(observed.admin, "POST", "/api/refresh", HOST, NULL), 202);
    await_value(&prometheus, "bearerd_issuer_usable", "1");
    await_rules(&prometheus);
    prometheus_stop(&prometheus);
    observed_end(&observed);
}
