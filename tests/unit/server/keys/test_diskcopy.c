#include "server/keys/diskcopy.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/mint.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define FETCHED 1700000000
#define DAY 86400

static struct config_issuer issuer_a(void) {
    return (struct config_issuer){.issuer = (char *)(uintptr_t) "https://a.example",
                                  .discovery = (char *)(uintptr_t) "",
                                  .jwks_uri = (char *)(uintptr_t) "https://a.example/jwks",
                                  .max_stale = (int64_t)DAY * 1000};
}

static struct keyset *some_keys(void) {
    struct keyset *set = NULL;
    struct err_text why;
    json_t *jwk = mint_jwk(mint_key(MINT_RSA), "r", "RS256");
    json_object_set_new(jwk, "d", json_string("PRIVATE"));
    char *jwks = MINT_JWKS(jwk, mint_jwk(mint_key(MINT_P256), NULL, NULL), json_null());
    ck_assert_int_eq(keyset_parse(span_of(jwks), &set, &why), 0);
    free(jwks);
    return set;
}

/* The one file of a folder. The caller frees the path. */
static char *only_file(const char *folder) {
    char *path = NULL;
    DIR *dir = opendir(folder);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        ck_assert_msg(!path, "more than one file: %s", entry->d_name);
        path = scratch_text("%s/%s", folder, entry->d_name);
    }
    closedir(dir);
    ck_assert_ptr_nonnull(path);
    return path;
}

/* A folder with a good copy in it; *ret_path is the copy's. The caller frees both. */
static char *save(char **ret_path) {
    struct config_issuer issuer = issuer_a();
    struct keyset *set = some_keys();
    struct err_text why = {""};
    char *folder = scratch_new();
    ck_assert_msg(diskcopy_save(folder, &issuer, set, FETCHED, &why) == 0, "%s", why.text);
    keyset_unref(set);
    *ret_path = only_file(folder);
    return folder;
}

static int load(const char *folder, const struct config_issuer *issuer, int64_t now,
                struct err_text *why) {
    struct keyset *set = NULL;
    int64_t fetched = -1;
    *why = (struct err_text){"untouched"};
    int r = diskcopy_load(folder, issuer, now, &set, &fetched, why);
    ck_assert((r == 0) == (set != NULL));
    if (r == 0) {
        ck_assert_uint_eq(set->count, 2);
        ck_assert_str_eq(set->keys[0].kid, "r");
        ck_assert_uint_eq(set->keys[0].algorithms, ALG_BIT(ALG_RS256));
        ck_assert(EVP_PKEY_eq(set->keys[1].pkey, mint_key(MINT_P256)) == 1);
        ck_assert_int_eq(fetched, FETCHED);
    }
    keyset_unref(set);
    return r;
}

/* The copy must be refused, and why must end with this. */
static void expect_refused(const char *folder, const struct config_issuer *issuer, int64_t now,
                           const char *end) {
    struct err_text why;
    ck_assert_int_lt(load(folder, issuer, now, &why), 0);
    size_t len = strlen(why.text), end_len = strlen(end);
    ck_assert_msg(len >= end_len && strcmp(why.text + len - end_len, end) == 0, "%s", why.text);
}

static void expect_loaded(const char *folder, int64_t now) {
    struct config_issuer issuer = issuer_a();
    struct err_text why;
    ck_assert_msg(load(folder, &issuer, now, &why) == 0, "%s", why.text);
}

TEST(what_was_saved_is_loaded) {
    char *path, *folder = save(&path);
    expect_loaded(folder, FETCHED);
    expect_loaded(folder, FETCHED + DAY - 1);
    free(path);
    free(folder);
}

TEST(a_copy_is_readable_by_its_owner_alone_whatever_the_umask) {
    static const mode_t masks[] = {0, 022, 0777};
    for (size_t i = 0; i < ARRAY_LEN(masks); i++) {
        char *folder = scratch_new();
        struct config_issuer issuer = issuer_a();
        struct keyset *set = some_keys();
        struct err_text why;
        struct stat status;
        for (int again = 0; again < 2; again++) {
            umask(masks[i]);
            ck_assert_int_eq(diskcopy_save(folder, &issuer, set, FETCHED, &why), 0);
            umask(077);
            char *path = only_file(folder);
            ck_assert_int_eq(stat(path, &status), 0);
            ck_assert_int_eq(status.st_mode & 07777, 0600);
            ck_assert_int_eq(chmod(path, 0644), 0); /* written anew it is 0600 again */
            free(path);
        }
        keyset_unref(set);
        free(folder);
    }
}

TEST(f6_no_secret_is_written_to_the_copy) {
    char *path, *folder = save(&path);
    char *text = scratch_read(path, NULL);
    ck_assert_ptr_null(strstr(text, "PRIVATE"));
    ck_assert_ptr_null(strstr(text, "\"d\""));
    ck_assert_ptr_nonnull(strstr(text, "\"fetched_at\":1700000000"));
    free(text);
    free(path);
    free(folder);
}

TEST(no_copy_is_no_fault) {
    struct config_issuer issuer = issuer_a();
    struct err_text why;
    char *folder = scratch_new(), *missing = scratch_text("%s/missing", folder);
    ck_assert_int_lt(load(folder, &issuer, FETCHED, &why), 0);
    ck_assert_str_eq(why.text, "");
    ck_assert_int_lt(load(missing, &issuer, FETCHED, &why), 0);
    ck_assert_str_eq(why.text, "");
    free(missing);
    free(folder);
}

TEST(each_issuer_has_a_copy_of_its_own) {
    char *path, *folder = save(&path);
    struct config_issuer other = issuer_a();
    struct err_text why;
    other.issuer = (char *)(uintptr_t) "https://b.example";
    ck_assert_int_lt(load(folder, &other, FETCHED, &why), 0);
    ck_assert_str_eq(why.text, "");
    free(path);
    free(folder);
}

TEST(a_copy_has_an_age) {
    char *path, *folder = save(&path);
    struct config_issuer issuer = issuer_a();
    static const char future[] = " does not say when it was fetched, or names the future";
    static const char old[] = " is older than max_stale";
    expect_refused(folder, &issuer, FETCHED - 1, future);
    expect_refused(folder, &issuer, 0, future);
    expect_refused(folder, &issuer, FETCHED + DAY, old);
    expect_refused(folder, &issuer, FETCHED + DAY + 1, old);
    expect_refused(folder, &issuer, 253402300799, old);
    expect_loaded(folder, FETCHED + DAY - 1);
    free(path);
    free(folder);
}

TEST(a_copy_belongs_to_one_source) {
    char *path, *folder = save(&path);
    static const char elsewhere[] = " came from another URL than the configured one";
    struct config_issuer issuer = issuer_a();
    issuer.jwks_uri = (char *)(uintptr_t) "https://a.example/other";
    expect_refused(folder, &issuer, FETCHED, elsewhere);
    issuer.jwks_uri = (char *)(uintptr_t) "";
    issuer.discovery = (char *)(uintptr_t) "https://a.example/.well-known/openid-configuration";
    expect_refused(folder, &issuer, FETCHED, elsewhere);

    struct keyset *set = some_keys();
    struct err_text why;
    ck_assert_int_eq(diskcopy_save(folder, &issuer, set, FETCHED, &why), 0);
    ck_assert_int_eq(load(folder, &issuer, FETCHED, &why), 0);
    issuer = issuer_a();
    expect_refused(folder, &issuer, FETCHED, elsewhere);
    keyset_unref(set);
    free(path);
    free(folder);
}

TEST(a_copy_that_others_may_write_is_refused) {
    static const mode_t bad[] = {0620, 0602, 0622, 0666, 0777}, good[] = {0600, 0400, 0640, 0644};
    char *path, *folder = save(&path);
    struct config_issuer issuer = issuer_a();
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_int_eq(chmod(path, bad[i]), 0);
        expect_refused(folder, &issuer, FETCHED, " is not ours alone to write");
    }
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        ck_assert_int_eq(chmod(path, good[i]), 0);
        expect_loaded(folder, FETCHED);
    }
    free(path);
    free(folder);
}

TEST(a_copy_of_another_user_is_refused) {
    if (geteuid() != 0) test_skip("only root can give a file away");
    char *path, *folder = save(&path);
    struct config_issuer issuer = issuer_a();
    ck_assert_int_eq(chown(path, 12345, 0), 0);
    expect_refused(folder, &issuer, FETCHED, " is not ours alone to write");
    ck_assert_int_eq(chown(path, 0, 12345), 0);
    expect_loaded(folder, FETCHED);
    free(path);
    free(folder);
}

TEST(what_is_no_plain_file_is_refused_and_never_waited_for) {
    char *path, *folder = save(&path);
    char *aside = scratch_text("%s/aside", folder);
    struct config_issuer issuer = issuer_a();
    struct err_text why;

    ck_assert_int_eq(rename(path, aside), 0);
    ck_assert_int_eq(symlink(aside, path), 0);
    ck_assert_int_lt(load(folder, &issuer, FETCHED, &why), 0);
    ck_assert_ptr_nonnull(strstr(why.text, "cannot open "));
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    expect_refused(folder, &issuer, FETCHED, " is not a file");
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    expect_refused(folder, &issuer, FETCHED, " is not a file");
    ck_assert_int_eq(unlink(path), 0);
    free(aside);
    free(path);
    free(folder);
}

static void put(const char *path, struct span content) {
    char *folder = strdup(path), *slash = strrchr(folder, '/');
    *slash = '\0';
    free(scratch_file(folder, slash + 1, content));
    free(folder);
}

TEST(a_copy_cut_anywhere_is_refused) {
    char *path, *folder = save(&path);
    size_t len;
    char *text = scratch_read(path, &len);
    struct config_issuer issuer = issuer_a();
    struct err_text why;
    ck_assert_uint_gt(len, 500);
    for (size_t cut = 0; cut < len - 2; cut++) {
        put(path, (struct span){text, cut});
        ck_assert_msg(load(folder, &issuer, FETCHED, &why) < 0, "%zu bytes", cut);
        ck_assert_msg(*why.text, "%zu bytes", cut);
    }
    put(path, (struct span){text, len - 1}); /* without its line end */
    expect_loaded(folder, FETCHED);
    free(text);
    free(path);
    free(folder);
}

TEST(a_copy_with_a_byte_changed_never_crashes) {
    char *path, *folder = save(&path);
    size_t len, loaded = 0;
    char *text = scratch_read(path, &len);
    struct config_issuer issuer = issuer_a();
    for (size_t i = 0; i < len; i++) {
        struct keyset *set = NULL;
        struct err_text why = {""};
        int64_t fetched;
        char before = text[i];
        text[i] = (char)(before ^ (1 << i % 8));
        put(path, (struct span){text, len});
        int r = diskcopy_load(folder, &issuer, FETCHED + 1, &set, &fetched, &why);
        ck_assert((r == 0) == (set != NULL) && (r == 0 || *why.text));
        loaded += r == 0;
        keyset_unref(set);
        text[i] = before;
    }
    ck_assert_uint_gt(loaded, 0); /* a bit of a modulus tells nobody anything */
    free(text);
    free(path);
    free(folder);
}

TEST(copies_with_other_content_are_refused) {
#define HEAD "{\"issuer\":\"https://a.example\",\"source\":\"https://a.example/jwks\""
    static const struct {
        const char *content;
        const char *end;
    } cases[] = {
        {"", " is empty"},
        {"{}", " is of another issuer"},
        {"{\"issuer\":1}", " is of another issuer"},
        {"{\"issuer\":\"https://b.example\"}", " is of another issuer"},
        {"{\"issuer\":\"https://a.example\"}", " came from another URL than the configured one"},
        {HEAD "}", " does not say when it was fetched, or names the future"},
        {HEAD ",\"fetched_at\":\"1\"}", " does not say when it was fetched, or names the future"},
        {HEAD ",\"fetched_at\":1e300}", " does not say when it was fetched, or names the future"},
        {HEAD ",\"fetched_at\":-1e300}", " is older than max_stale"},
        {HEAD ",\"fetched_at\":1700000000}", " holds no keys"},
        {HEAD ",\"fetched_at\":1700000000,\"jwks\":null}", " is not a JSON object"},
        {HEAD ",\"fetched_at\":1700000000,\"jwks\":{}}", " has no \"keys\" that is an array"},
        {HEAD ",\"fetched_at\":1700000000,\"jwks\":{\"keys\":[]}}",
         " holds no usable key (0 unusable)"},
    };
    char *path, *folder = save(&path);
    struct config_issuer issuer = issuer_a();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        put(path, span_of(cases[i].content));
        expect_refused(folder, &issuer, FETCHED, cases[i].end);
    }
    char *huge = malloc(5000000);
    memset(huge, ' ', 5000000);
    put(path, (struct span){huge, 5000000});
    struct err_text why;
    ck_assert_int_lt(load(folder, &issuer, FETCHED, &why), 0);
    ck_assert_ptr_nonnull(strstr(why.text, "cannot read "));
    free(huge);
    free(path);
    free(folder);
}

TEST(saving_replaces_the_copy_whole_and_leaves_nothing_beside_it) {
    char *path, *folder = save(&path);
    struct config_issuer issuer = issuer_a();
    struct keyset *set = some_keys();
    struct err_text why;
    struct stat before, after;
    ck_assert_int_eq(stat(path, &before), 0);
    char *left_over = scratch_text("%s.new", path), *long_text = calloc(1, 100000);
    memset(long_text, 'x', 99999);
    put(left_over, span_of(long_text)); /* from a crash, longer than a copy, and open to all */
    ck_assert_int_eq(chmod(left_over, 0666), 0);
    free(long_text);
    ck_assert_int_eq(diskcopy_save(folder, &issuer, set, FETCHED, &why), 0);
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert(before.st_ino != after.st_ino);
    ck_assert_int_eq(after.st_mode & 07777, 0600);
    ck_assert_int_ne(access(left_over, F_OK), 0);
    expect_loaded(folder, FETCHED);
    free(left_over);
    keyset_unref(set);
    free(path);
    free(folder);
}

TEST(a_link_in_the_way_of_a_copy_is_not_followed) {
    char *path, *folder = save(&path), *elsewhere = scratch_new();
    char *fresh = scratch_text("%s.new", path);
    char *victim = scratch_file(elsewhere, "victim", SPAN_LITERAL("untouched"));
    struct config_issuer issuer = issuer_a();
    struct keyset *set = some_keys();
    struct err_text why;
    struct stat status;
    ck_assert_int_eq(symlink(victim, fresh), 0);
    ck_assert_int_eq(diskcopy_save(folder, &issuer, set, FETCHED, &why), 0);
    char *content = scratch_read(victim, NULL);
    ck_assert_str_eq(content, "untouched");
    ck_assert(lstat(path, &status) == 0 && S_ISREG(status.st_mode));
    expect_loaded(folder, FETCHED);
    keyset_unref(set);
    free(content);
    free(victim);
    free(fresh);
    free(elsewhere);
    free(path);
    free(folder);
}

TEST(a_copy_that_cannot_be_written_says_why) {
    struct config_issuer issuer = issuer_a();
    struct keyset *set = some_keys();
    struct err_text why = {""};
    char *folder = scratch_new(), *missing = scratch_text("%s/missing", folder);
    ck_assert_int_eq(diskcopy_save(missing, &issuer, set, FETCHED, &why), ERR_SYSTEM);
    ck_assert_ptr_nonnull(strstr(why.text, "cannot create "));
    ck_assert_ptr_nonnull(strstr(why.text, ": No such file or directory"));

    char *deep = malloc(5001);
    memset(deep, 'd', 5000);
    deep[5000] = '\0';
    ck_assert_int_eq(diskcopy_save(deep, &issuer, set, FETCHED, &why), ERR_LIMIT);
    ck_assert_str_eq(why.text, "the path of the state directory is too long");
    free(deep);
    free(missing);
    free(folder);
    keyset_unref(set);
}
