/* A suite of JSON texts, signed: in the place of a header, of a payload, and of a claim. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/json.h"
#include "tests/unit/server/token/judge.h"
#include "tests/unit/server/token/vectors.h"

#define FOLDER "JSONTestSuite/test_parsing"
#define HEADER SPAN_LITERAL("{\"alg\":\"RS256\",\"kid\":\"r\"}")
#define CLAIMS                                                                                     \
    "\"iss\":\"https://idp.example\",\"aud\":\"api\",\"sub\":\"alice\",\"exp\":1700000300"

/* Between two texts, as one. The caller frees it. */
static struct span wrap(const char *before, struct span text, const char *behind) {
    char *whole = NULL;
    size_t len;
    FILE *out = open_memstream(&whole, &len);
    ck_assert_ptr_nonnull(out);
    fputs(before, out);
    fwrite(text.ptr, 1, text.len, out);
    fputs(behind, out);
    fclose(out);
    return (struct span){whole, len};
}

static struct verdict judge_signed(const struct judge *judge, struct span header,
                                   struct span payload) {
    return judge_token(judge, mint_jws(header, payload, "RS256", mint_key(MINT_RSA)));
}

struct counts {
    unsigned files, claims_accepted, payloads_read, headers_read;
};

/* The text alone as header and as payload: never let through, and never more than refused. */
static void judge_alone(const struct judge *judge, const char *name, struct span text,
                        struct counts *counts) {
    struct verdict as_header = judge_signed(judge, text, SPAN_LITERAL("{" CLAIMS "}"));
    struct verdict as_payload = judge_signed(judge, HEADER, text);
    ck_assert_msg(as_header.status == 401, "%s as header: %u", name, as_header.status);
    ck_assert_msg(as_payload.status == 401, "%s as payload: %u", name, as_payload.status);
    counts->headers_read += strcmp(as_header.reason, "token_malformed") != 0;
    counts->payloads_read += strcmp(as_payload.reason, "token_malformed") != 0;
}

/* As one more claim of a good token: let through exactly where it is good JSON. */
static void judge_claim(const struct judge *judge, const char *name, struct span text,
                        struct counts *counts) {
    struct span first = wrap("{\"x\":", text, "," CLAIMS "}");
    struct span last = wrap("{" CLAIMS ",\"x\":", text, "}");
    struct verdict a = judge_signed(judge, HEADER, first), b = judge_signed(judge, HEADER, last);
    ck_assert_msg(a.status == b.status && (a.status == 200 || a.status == 401), "%s: %u, %u", name,
                  a.status, b.status);
    counts->claims_accepted += a.status == 200;
    free((char *)(uintptr_t)first.ptr);
    free((char *)(uintptr_t)last.ptr);
}

static struct counts judge_files(char kind) {
    struct counts counts = {0};
    struct dirent **names = NULL;
    struct judge judge;
    char *folder = scratch_text("%s/" FOLDER, test_vectors());
    int found = scandir(folder, &names, NULL, alphasort);

    judge_open_usual(&judge);
    judge.token_max = 1048576;
    for (int i = 0; i < found; i++) {
        const char *name = names[i]->d_name;
        if (name[0] == kind && name[1] == '_') {
            char *path = scratch_text(FOLDER "/%s", name);
            struct span text;
            text.ptr = vectors_bytes(path, &text.len);
            counts.files++;
            judge_alone(&judge, name, text, &counts);
            judge_claim(&judge, name, text, &counts);
            free((char *)(uintptr_t)text.ptr);
            free(path);
        }
        free(names[i]);
    }
    free(names);
    free(folder);
    judge_done(&judge);
    return counts;
}

TEST(c10_what_is_no_json_is_refused_wherever_it_stands) {
    struct counts counts = judge_files('n');
    ck_assert_uint_eq(counts.files, 188);
    ck_assert_uint_eq(counts.claims_accepted, 0);
    ck_assert_uint_eq(counts.payloads_read, 0);
    ck_assert_uint_eq(counts.headers_read, 0);
}

TEST(c10_what_is_json_is_read_but_for_duplicates_and_nul) {
    struct counts counts = judge_files('y');
    ck_assert_uint_eq(counts.files, 95);
    ck_assert_uint_eq(counts.claims_accepted, 91);
    ck_assert_uint_gt(counts.payloads_read, 5); /* the objects among them, then lacking claims */
    ck_assert_uint_eq(counts.headers_read, counts.payloads_read);
}

TEST(c10_what_parsers_disagree_on_harms_nothing) {
    struct counts counts = judge_files('i');
    ck_assert_uint_eq(counts.files, 35);
    ck_assert_uint_eq(counts.payloads_read, 0);
    ck_assert_uint_eq(counts.headers_read, 0);
}
