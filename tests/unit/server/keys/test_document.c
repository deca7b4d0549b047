#include "server/keys/document.h"

#include <stdlib.h>

#include "tests/support/scratch.h"
#include "tests/support/suite.h"

TEST(every_option_of_fetch_reaches_the_fetcher_and_nothing_is_inspected) {
    char ca[] = "/ca.pem", proxy[] = "http://p:1", none[] = "a.example";
    struct config config = {.fetch = {.ca_file = ca,
                                      .proxy = proxy,
                                      .no_proxy = none,
                                      .connect_timeout = 11,
                                      .timeout = 22,
                                      .max_body = 33}};
    struct fetch_settings settings = document_fetch_settings(&config);
    ck_assert_str_eq(settings.ca_file, "/ca.pem");
    ck_assert_str_eq(settings.proxy, "http://p:1");
    ck_assert_str_eq(settings.no_proxy, "a.example");
    ck_assert_int_eq(settings.connect_timeout_ms, 11);
    ck_assert_int_eq(settings.timeout_ms, 22);
    ck_assert_uint_eq(settings.max_body, 33);
    ck_assert(!settings.inspect);
}

TEST(only_a_200_without_error_may_be_a_document) {
    struct err_text why;
    ck_assert_ptr_null(document_judge(&(struct fetch_reply){.status = 200}, &why));
    ck_assert_str_eq(document_judge(&(struct fetch_reply){.status = 200, .error = "cut"}, &why),
                     "cut");
    ck_assert_str_eq(document_judge(&(struct fetch_reply){.status = 204}, &why),
                     "the answer has status 204 where 200 was expected");
}

TEST(a_file_is_read_whole_or_refused) {
    char *folder = scratch_new(), *path = scratch_file(folder, "f", SPAN_LITERAL("12345"));
    struct buf whole = buf_make(5), small = buf_make(4), none = buf_make(4);
    struct err_text why;
    ck_assert_int_eq(document_read_file(path, &whole, &why), 0);
    ck_assert(span_equal_text(buf_span(&whole), "12345"));
    ck_assert_int_eq(document_read_file(path, &small, &why), ERR_LIMIT);
    ck_assert_str_eq(why.text, "the file is larger than fetch.max_body");
    ck_assert_int_eq(document_read_file("/nowhere/f", &none, &why), ERR_SYSTEM);
    ck_assert_str_eq(why.text, "No such file or directory");
    buf_done(&whole), buf_done(&small), buf_done(&none);
    free(path), free(folder);
}
