/* Who may use the admin listener where a requirement protects it. */
#include <stdlib.h>

#include "common/attr.h"
#include "tests/support/client.h"
#include "tests/support/process.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

/* Open to other hosts, which is refused without a requirement. */
static struct scene start(int port) {
    char *rest =
        scratch_text("admin: {address: \"0.0.0.0:%d\", require: {scopes: [gate:admin]}}\n", port);
    struct scene scene = scene_start(&(struct scene_options){.rest = rest});
    free(rest);
    return scene;
}

/* The status of a request to the admin listener, by the name of another host. */
static int ask(int port, const char *method, const char *path, const char *token) {
    struct client *client = client_connect(port);
    struct response response = {0};

    ck_assert_ptr_nonnull(client);
    ck_assert(client_sendf(client, "%s %s HTTP/1.1\r\nHost: gate.example\r\n%s%s%s\r\n", method,
                           path, token ? "Authorization: Bearer " : "", token ? token : "",
                           token ? "\r\n" : ""));
    ck_assert_int_eq(client_read(client, 5000, &response), CLIENT_OK);
    int status = response.status;
    client_response_done(&response);
    client_free(client);
    return status;
}

TEST(whoever_uses_it_needs_a_token_that_meets_the_requirement) {
    int port = process_free_port();
    struct scene scene = start(port);
    char *good = scene_token("{\"scope\":\"openid gate:admin\"}");
    char *expired = scene_token("{\"scope\":\"openid gate:admin\",\"exp\":1500000000}");
    static const struct {
        const char *method, *path;
        int allowed;
    } rows[] = {
        {"GET", "/", 200},           {"GET", "/readyz", 200},       {"GET", "/metrics", 200},
        {"GET", "/api/status", 200}, {"POST", "/api/refresh", 202}, {"GET", "/none", 404},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_int_eq(ask(port, rows[i].method, rows[i].path, good), rows[i].allowed);
        ck_assert_int_eq(ask(port, rows[i].method, rows[i].path, NULL), 401);
        ck_assert_int_eq(ask(port, rows[i].method, rows[i].path, expired), 401);
        ck_assert_int_eq(ask(port, rows[i].method, rows[i].path, scene.token), 403);
    }
    /* Probes carry no token, and learn nothing by it. */
    ck_assert_int_eq(ask(port, "GET", "/healthz", NULL), 200);
    free(good), free(expired);
    scene_end(&scene);
}
