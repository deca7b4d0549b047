/* The JSON of header and payload: what two parsers might read in two ways is refused. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/unit/server/token/judge.h"

#define S(text) SPAN_LITERAL(text)
#define HEADER S("{\"alg\":\"RS256\",\"kid\":\"r\"}")
#define BODY "\"iss\":\"https://idp.example\",\"aud\":\"api\",\"sub\":\"alice\",\"exp\":1700000300"

struct bytes_case {
    struct span bytes;
    const char *reason; /* "": accepted */
};

static void expect_payloads(const struct bytes_case *cases, size_t count) {
    struct judge judge;
    judge_open_usual(&judge);
    for (size_t i = 0; i < count; i++)
        judge_expect(&judge, cases[i].bytes.ptr,
                     mint_jws(HEADER, cases[i].bytes, "RS256", mint_key(MINT_RSA)),
                     *cases[i].reason ? 401 : 200, cases[i].reason);
    judge_done(&judge);
}

static void expect_headers(const struct bytes_case *cases, size_t count) {
    struct judge judge;
    judge_open_usual(&judge);
    for (size_t i = 0; i < count; i++)
        judge_expect(&judge, cases[i].bytes.ptr,
                     mint_jws(cases[i].bytes, S("{" BODY "}"), "RS256", mint_key(MINT_RSA)),
                     *cases[i].reason ? 401 : 200, cases[i].reason);
    judge_done(&judge);
}

TEST(c6_a_claim_named_twice_is_refused) {
    static const struct bytes_case cases[] = {
        {S("{" BODY "}"), ""},
        {S("{" BODY ",\"sub\":\"alice\"}"), "token_malformed"},
        {S("{" BODY ",\"sub\":\"mallory\"}"), "token_malformed"},
        {S("{\"sub\":\"mallory\"," BODY "}"), "token_malformed"},
        {S("{" BODY ",\"exp\":1700000300}"), "token_malformed"},
        {S("{\"exp\":9999999999," BODY "}"), "token_malformed"},
        {S("{" BODY ",\"\\u0073ub\":\"mallory\"}"), "token_malformed"},
        {S("{" BODY ",\"\\u0065\\u0078\\u0070\":9999999999}"), "token_malformed"},
        {S("{" BODY ",\"x\":{\"a\":1,\"a\":2}}"), "token_malformed"},
        {S("{" BODY ",\"x\":[{\"a\":1,\"a\":1}]}"), "token_malformed"},
        {S("{" BODY ",\"Sub\":\"mallory\"}"), ""},
        {S("{" BODY ",\"x\":{\"sub\":\"mallory\"}}"), ""},
    };
    expect_payloads(cases, ARRAY_LEN(cases));
}

TEST(c7_anything_but_one_object_is_refused) {
    static const struct bytes_case payloads[] = {
        {S("{" BODY "}"), ""},
        {S(" {" BODY "}\r\n\t "), ""},
        {S("{" BODY "}x"), "token_malformed"},
        {S("{" BODY "}}"), "token_malformed"},
        {S("{" BODY "},"), "token_malformed"},
        {S("{" BODY "}{" BODY "}"), "token_malformed"},
        {S("{" BODY "} {}"), "token_malformed"},
        {S("{" BODY "}\0"), "token_malformed"},
        {S("{" BODY "}\0{}"), "token_malformed"},
        {S("\0{" BODY "}"), "token_malformed"},
        {S("[{" BODY "}]"), "token_malformed"},
        {S("[]"), "token_malformed"},
        {S("null"), "token_malformed"},
        {S("true"), "token_malformed"},
        {S("1"), "token_malformed"},
        {S("\"text\""), "token_malformed"},
        {S(""), "token_malformed"},
        {S(" "), "token_malformed"},
        {S("\xef\xbb\xbf{" BODY "}"), "token_malformed"},
        {S("{" BODY "}// end"), "token_malformed"},
        {S("/**/{" BODY "}"), "token_malformed"},
        {S("{" BODY ",/**/\"x\":1}"), "token_malformed"},
        {S("{" BODY ",\"x\":NaN}"), "token_malformed"},
        {S("{" BODY ",\"x\":Infinity}"), "token_malformed"},
        {S("{" BODY ",\"x\":01}"), "token_malformed"},
        {S("{" BODY ",}"), "token_malformed"},
        {S("{" BODY), "token_malformed"},
        {S("{'x':1," BODY "}"), "token_malformed"},
        {S("{}"), "claim_missing"},
    };
    static const struct bytes_case headers[] = {
        {S("{\"alg\":\"RS256\",\"kid\":\"r\"}"), ""},
        {S(" {\"alg\":\"RS256\",\"kid\":\"r\"} "), ""},
        {S("{\"alg\":\"RS256\",\"kid\":\"r\"}x"), "token_malformed"},
        {S("{\"alg\":\"RS256\",\"kid\":\"r\"}{}"), "token_malformed"},
        {S("{\"alg\":\"RS256\",\"kid\":\"r\"}\0"), "token_malformed"},
        {S("[{\"alg\":\"RS256\",\"kid\":\"r\"}]"), "token_malformed"},
        {S("[\"RS256\"]"), "token_malformed"},
        {S("null"), "token_malformed"},
        {S("\"RS256\""), "token_malformed"},
        {S(" "), "token_malformed"},
        {S("\xef\xbb\xbf{\"alg\":\"RS256\",\"kid\":\"r\"}"), "token_malformed"},
        {S("{\"alg\":\"RS256\",\"kid\":\"r\"}// end"), "token_malformed"},
        {S("{\"alg\":\"RS256\",\"kid\":\"r\",\"x\":NaN}"), "token_malformed"},
    };
    expect_payloads(payloads, ARRAY_LEN(payloads));
    expect_headers(headers, ARRAY_LEN(headers));
}

TEST(c8_text_that_is_not_utf8_is_refused) {
    static const struct bytes_case payloads[] = {
        {S("{" BODY ",\"x\":\"\xc3\xa4 \xf0\x9f\x98\x80\"}"), ""},
        {S("{" BODY ",\"x\":\"\xff\"}"), "token_malformed"},
        {S("{" BODY ",\"x\":\"\x80\"}"), "token_malformed"},
        {S("{" BODY ",\"x\":\"\xc3\"}"), "token_malformed"},
        {S("{" BODY ",\"x\":\"\xc0\xaf\"}"), "token_malformed"},
        {S("{" BODY ",\"x\":\"\xe0\x80\xaf\"}"), "token_malformed"},
        {S("{" BODY ",\"x\":\"\xed\xa0\x80\"}"), "token_malformed"},
        {S("{" BODY ",\"x\":\"\xf4\x90\x80\x80\"}"), "token_malformed"},
        {S("{" BODY ",\"x\":\"\\ud800\"}"), "token_malformed"},
        {S("{" BODY ",\"x\":\"\\udc00\"}"), "token_malformed"},
        {S("{" BODY ",\"x\":\"\\ud800\\u0041\"}"), "token_malformed"},
        {S("{" BODY ",\"x\":\"\\u0000\"}"), "token_malformed"},
        {S("{" BODY ",\"x\":\"a\nb\"}"), "token_malformed"},
        {S("{" BODY ",\"x\":\"a\x01\"}"), "token_malformed"},
        {S("{" BODY ",\"x\xff\":1}"), "token_malformed"},
        {S("{" BODY ",\"x\":\"\\u000a\\u001b\"}"), ""},
    };
    static const struct bytes_case headers[] = {
        {S("{\"alg\":\"RS256\",\"kid\":\"r\",\"x\":\"\xc3\xa4\"}"), ""},
        {S("{\"alg\":\"RS256\",\"kid\":\"r\xff\"}"), "token_malformed"},
        {S("{\"alg\":\"RS256\",\"kid\":\"\\ud800\"}"), "token_malformed"},
        {S("{\"alg\":\"RS256\",\"kid\":\"r\n\"}"), "token_malformed"},
    };
    expect_payloads(payloads, ARRAY_LEN(payloads));
    expect_headers(headers, ARRAY_LEN(headers));
}

/* --- depth, number, size --------------------------------------------------------------------- */

/* Good claims and count more. */
static char *crowded(size_t count) {
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    ck_assert_ptr_nonnull(out);
    fputs("{" BODY, out);
    for (size_t i = 0; i < count; i++) fprintf(out, ",\"x%zu\":%zu", i, i);
    fputs("}", out);
    fclose(out);
    return text;
}

static char *nested(const char *prefix, size_t depth) {
    char *text = malloc(strlen(prefix) + 2 * depth + 2);
    size_t len = strlen(prefix);
    memcpy(text, prefix, len);
    memset(text + len, '[', depth);
    memset(text + len + depth, ']', depth);
    memcpy(text + len + 2 * depth, "}", 2);
    return text;
}

struct task {
    const struct judge *judge;
    char *token;
    struct verdict verdict;
    double cpu_ms;
};

static double thread_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void *run(void *argument) {
    struct task *task = argument;
    double before = thread_ms();
    task->verdict = judge_token(task->judge, task->token);
    task->cpu_ms = thread_ms() - before;
    return NULL;
}

/* Judged by a thread with a stack of 256 KiB, within 10 ms. */
static void expect_cheap(const struct judge *judge, char *token, unsigned status,
                         const char *reason) {
    struct task task = {.judge = judge, .token = token};
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    ck_assert_int_eq(pthread_attr_setstacksize(&attr, 256 * 1024), 0);
    ck_assert_int_eq(pthread_create(&thread, &attr, run, &task), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    ck_assert_msg(task.verdict.status == status && strcmp(task.verdict.reason, reason) == 0,
                  "%u %s (%s) where %u %s was expected", task.verdict.status, task.verdict.reason,
                  task.verdict.text, status, reason);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    ck_assert_msg(task.cpu_ms < 10, "%s: %.1f ms", task.verdict.reason, task.cpu_ms);
#endif
}

static char *mint_payload(char *payload) {
    char *token = mint_jws(HEADER, span_of(payload), "RS256", mint_key(MINT_RSA));
    free(payload);
    return token;
}

static char *mint_header(char *header) {
    char *token = mint_jws(span_of(header), S("{" BODY "}"), "RS256", mint_key(MINT_RSA));
    free(header);
    return token;
}

TEST(c9_deep_long_and_crowded_tokens_cost_little) {
    static const char head[] = "{\"alg\":\"RS256\",\"kid\":\"r\",\"x\":";
    struct judge judge;
    judge_open_usual(&judge);
    expect_cheap(&judge, mint_payload(nested("{" BODY ",\"x\":", 31)), 200, "");
    expect_cheap(&judge, mint_payload(nested("{" BODY ",\"x\":", 32)), 401, "token_malformed");
    expect_cheap(&judge, mint_payload(nested("{" BODY ",\"x\":", 5000)), 401, "token_malformed");
    expect_cheap(&judge, mint_header(nested(head, 31)), 200, "");
    expect_cheap(&judge, mint_header(nested(head, 1000)), 401, "token_malformed");
    expect_cheap(&judge, mint_payload(crowded(600)), 200, "");
    expect_cheap(&judge, mint_payload(crowded(4000)), 431, "token_too_large");

    char *large = malloc(60001);
    memset(large, 'A', 60000);
    large[60000] = '\0';
    expect_cheap(&judge, large, 431, "token_too_large");
    judge.token_max = 1048576;
    expect_cheap(&judge, mint_payload(nested("{" BODY ",\"x\":", 300000)), 401, "token_malformed");
    expect_cheap(&judge, mint_header(nested(head, 300000)), 401, "token_malformed");
    judge_done(&judge);
}

TEST(c9_too_deep_says_so) {
    struct judge judge;
    judge_open_usual(&judge);
    char *token = mint_payload(nested("{" BODY ",\"x\":", 100));
    ck_assert_str_eq(judge_token(&judge, token).text,
                     "the payload of the token is nested deeper than 32 levels");
    judge_done(&judge);
}
