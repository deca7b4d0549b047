#include "server/loop/view.h"

#include <stdlib.h>

#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

static void setup_ref_void(void *setup) {
    setup_ref(setup);
}

static void setup_unref_void(void *setup) {
    setup_unref(setup);
}

static void list_ref_void(void *list) {
    deny_list_ref(list);
}

static void list_unref_void(void *list) {
    deny_list_unref(list);
}

static struct config *make_config(const char *keys) {
    struct config *config = NULL;
    struct config_report report;
    char *yaml = scratch_text("listen: [{address: \"127.0.0.1:0\"}]\n"
                              "issuers: [{issuer: \"https://idp.example\", audiences: [api],"
                              " jwks_file: \"%s\"}]\n",
                              keys);
    ck_assert_int_eq(config_parse(span_of(yaml), "f", &config, &report), 0);
    config_report_done(&report);
    free(yaml);
    return config;
}

static struct setup *make_setup(struct config *config, const struct setup *previous) {
    struct setup *setup = NULL;
    struct err_text why = {""};
    /* Outlives every setup. */
    static struct metrics_registry *registry;
    if (!registry) registry = metrics_registry_new(1);
    int r = setup_new(config, registry, previous, &setup, &why);
    ck_assert_msg(r == 0, "%s", why.text);
    return setup;
}

static void on_change(void *argument) {
    (void)argument;
}

static void publish(struct shared *shared, const char *text) {
    struct deny_list *list = NULL;
    ck_assert_int_eq(deny_list_parse(span_of(text), "deny", &list, NULL), 0);
    snapshot_publish(&shared->denied, list);
}

/* In the middle of a reload the keys are those of the next configuration: setup and keys stay. */
TEST(the_newest_deny_list_is_there_whatever_else_is_not) {
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k", NULL));
    char *folder = scratch_new(), *keys = scratch_file(folder, "keys", span_of(jwks));
    struct config *config = make_config(keys), *next = make_config(keys);
    struct setup *setup = make_setup(config, NULL);
    struct shared shared = {0};
    struct view *view = NULL;
    snapshot_init(&shared.setup, setup_ref_void, setup_unref_void);
    snapshot_init(&shared.denied, list_ref_void, list_unref_void);
    snapshot_publish(&shared.setup, setup_ref(setup));
    ck_assert_int_eq(keystore_start(config, on_change, NULL, &shared.keystore, NULL), 0);

    ck_assert(view_update(&view, &shared));
    ck_assert_ptr_null(view->denied);
    ck_assert_uint_eq(view->denied_generation, 0);
    publish(&shared, "{\"sub\":\"a\"}");
    (void)view_update(&view, &shared);
    ck_assert_uint_eq(deny_list_count(view->denied), 1);
    ck_assert_uint_eq(view->denied_generation, 1);

    ck_assert_int_eq(keystore_reconfigure(shared.keystore, next), 0);
    publish(&shared, "{\"sub\":\"a\"}\n{\"sub\":\"b\"}");
    struct view *before = view;
    ck_assert(!view_update(&view, &shared));
    ck_assert_ptr_eq(view, before);
    ck_assert_ptr_eq(view->setup, setup);
    ck_assert_uint_eq(deny_list_count(view->denied), 2);
    ck_assert_uint_eq(view->denied_generation, 2);

    /* A view that a request has pinned ends with it. */
    view_pin(before);
    snapshot_publish(&shared.setup, make_setup(next, setup));
    ck_assert(view_update(&view, &shared));
    ck_assert_ptr_ne(view, before);
    ck_assert_uint_eq(deny_list_count(view->denied), 2);
    view_unpin(before);
    snapshot_publish(&shared.denied, NULL);
    (void)view_update(&view, &shared);
    ck_assert_ptr_null(view->denied);
    ck_assert_uint_eq(view->denied_generation, 3);

    view_unpin(view);
    keystore_stop(shared.keystore);
    snapshot_done(&shared.setup);
    snapshot_done(&shared.denied);
    setup_unref(setup);
    config_unref(next);
    config_unref(config);
    free(keys), free(folder), free(jwks);
}
