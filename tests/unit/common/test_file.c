#include "common/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)

/* Both ways of trusting. */
static const enum file_trust trusts[] = {FILE_OWN, FILE_NAMED};

static void expect_content(const char *path, enum file_trust trust, const char *content,
                           mode_t mode) {
    struct buf read = buf_make(100000);
    struct file_facts facts = {0};
    struct err_text why = {""};
    ck_assert_msg(file_read(path, trust, &read, &facts, &why) == 0, "%s", why.text);
    ck_assert(facts.exists);
    ck_assert_uint_eq(facts.mode, mode);
    ck_assert(span_equal_text(buf_span(&read), content));
    buf_done(&read);
}

/* The reason is this text with the path in the place of its %s. */
static void expect_refused(const char *path, enum file_trust trust, size_t max, int code,
                           const char *before, const char *after) {
    struct buf read = buf_make(max);
    struct file_facts facts;
    struct err_text why = {""};
    char *text = scratch_text("%s%s%s", before, path, after);
    ck_assert_int_eq(file_read(path, trust, &read, &facts, &why), code);
    ck_assert_str_eq(why.text, text);
    free(text);
    buf_done(&read);
}

TEST(a_file_is_read_whole) {
    static const size_t lens[] = {0, 1, 4095, 4096, 4097, 12288, 50000};
    char *folder = scratch_new(), *content = calloc(1, 50001);
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        memset(content, 0, 50001);
        memset(content, 'x', lens[i]);
        char *path = scratch_file(folder, "file", (struct span){content, lens[i]});
        for (size_t t = 0; t < ARRAY_LEN(trusts); t++)
            expect_content(path, trusts[t], content, 0600);
        free(path);
    }
    free(content);
    free(folder);
}

TEST(what_is_read_is_added_behind_what_is_there) {
    char *folder = scratch_new(), *path = scratch_file(folder, "file", S("b\0c"));
    struct buf read = buf_make(4);
    struct file_facts facts;
    buf_add_text(&read, "a");
    ck_assert_int_eq(file_read(path, FILE_OWN, &read, &facts, NULL), 0);
    ck_assert(span_equal(buf_span(&read), S("ab\0c")));
    buf_done(&read);
    free(path);
    free(folder);
}

TEST(a_missing_file_is_no_error) {
    char *folder = scratch_new(), *path = scratch_text("%s/missing/file", folder);
    for (size_t t = 0; t < ARRAY_LEN(trusts); t++) {
        struct buf read = buf_make(100);
        struct file_facts facts = {true, 0777};
        ck_assert_int_eq(file_read(path, trusts[t], &read, &facts, NULL), 0);
        ck_assert(!facts.exists && facts.mode == 0);
        ck_assert_uint_eq(read.len, 0);
        buf_done(&read);
    }
    free(path);
    free(folder);
}

TEST(a_file_beyond_the_ceiling_is_refused) {
    char *folder = scratch_new(), *path = scratch_file(folder, "file", S("12345"));
    for (size_t t = 0; t < ARRAY_LEN(trusts); t++) {
        expect_refused(path, trusts[t], 4, ERR_LIMIT, "cannot read ", ": it is too large");
        expect_content(path, trusts[t], "12345", 0600);
    }
    free(path);
    free(folder);
}

/* A device without end must end too: the ceiling stops the reading. */
TEST(what_is_no_regular_file_is_refused_and_never_waited_for) {
    char *folder = scratch_new(), *fifo = scratch_text("%s/fifo", folder);
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    const char *const paths[] = {folder, fifo, "/dev/zero"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        for (size_t t = 0; t < ARRAY_LEN(trusts); t++)
            expect_refused(paths[i], trusts[t], 100, ERR_SYSTEM, "", " is not a file");
    char *file = scratch_file(folder, "file", S("x")), *below = scratch_text("%s/below", file);
    expect_refused(below, FILE_NAMED, 100, ERR_SYSTEM, "cannot open ", ": Not a directory");
    free(below);
    free(file);
    free(fifo);
    free(folder);
}

TEST(only_a_named_file_may_be_a_link) {
    char *folder = scratch_new(), *file = scratch_file(folder, "file", S("x"));
    char *link = scratch_text("%s/link", folder);
    ck_assert_int_eq(symlink(file, link), 0);
    expect_content(link, FILE_NAMED, "x", 0600);
    expect_refused(link, FILE_OWN, 100, ERR_SYSTEM, "cannot open ",
                   ": Too many levels of symbolic links");
    free(link);
    free(file);
    free(folder);
}

TEST(only_a_named_file_may_be_writable_by_others) {
    static const mode_t bad[] = {0620, 0602, 0666, 04622}, good[] = {0400, 0600, 0644, 0755};
    char *folder = scratch_new(), *path = scratch_file(folder, "file", S("x"));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_int_eq(chmod(path, bad[i]), 0);
        expect_refused(path, FILE_OWN, 100, ERR_SYSTEM, "", " is not ours alone to write");
        expect_content(path, FILE_NAMED, "x", bad[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        ck_assert_int_eq(chmod(path, good[i]), 0);
        for (size_t t = 0; t < ARRAY_LEN(trusts); t++)
            expect_content(path, trusts[t], "x", good[i]);
    }
    free(path);
    free(folder);
}

TEST(only_a_named_file_may_be_anothers) {
    if (geteuid() != 0) test_skip("only root can give a file away");
    char *folder = scratch_new(), *path = scratch_file(folder, "file", S("x"));
    ck_assert_int_eq(chown(path, 12345, 12345), 0);
    expect_content(path, FILE_NAMED, "x", 0600);
    expect_refused(path, FILE_OWN, 100, ERR_SYSTEM, "", " is not ours alone to write");
    ck_assert_int_eq(chown(path, 0, 12345), 0);
    expect_content(path, FILE_OWN, "x", 0600);
    free(path);
    free(folder);
}

TEST(a_file_is_replaced_whole_with_mode_0600_whatever_the_umask) {
    static const mode_t masks[] = {0, 022, 0777};
    char *folder = scratch_new(), *path = scratch_text("%s/file", folder);
    char *beside = scratch_text("%s.new", path);
    for (size_t i = 0; i < ARRAY_LEN(masks); i++) {
        struct err_text why = {""};
        umask(masks[i]);
        ck_assert_msg(file_replace(path, S("long content"), &why) == 0, "%s", why.text);
        expect_content(path, FILE_OWN, "long content", 0600);
        ck_assert_int_eq(chmod(path, 0666), 0);
        ck_assert_msg(file_replace(path, S("short"), &why) == 0, "%s", why.text);
        expect_content(path, FILE_OWN, "short", 0600);
        ck_assert_int_ne(access(beside, F_OK), 0);
        ck_assert_int_eq(unlink(path), 0);
    }
    free(beside);
    free(path);
    free(folder);
}

/* Who has the old file open must not see it change under his hands. */
TEST(a_replaced_file_is_another_file) {
    char *folder = scratch_new(), *path = scratch_file(folder, "file", S("old"));
    struct stat before, after;
    ck_assert_int_eq(stat(path, &before), 0);
    FILE *old = fopen(path, "re");
    ck_assert_ptr_nonnull(old);
    ck_assert_int_eq(file_replace(path, S("new"), NULL), 0);
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert(before.st_ino != after.st_ino);
    char content[8] = "";
    ck_assert_uint_eq(fread(content, 1, sizeof content, old), 3);
    ck_assert_str_eq(content, "old");
    fclose(old);
    free(path);
    free(folder);
}

TEST(links_and_leftovers_in_the_way_are_replaced_and_not_followed) {
    char *folder = scratch_new(), *victim = scratch_file(folder, "victim", S("untouched"));
    char *path = scratch_text("%s/file", folder), *beside = scratch_text("%s.new", path);
    struct stat status;
    ck_assert_int_eq(symlink(victim, path), 0);
    ck_assert_int_eq(symlink(victim, beside), 0);
    ck_assert_int_eq(file_replace(path, S("new"), NULL), 0);
    ck_assert(lstat(path, &status) == 0 && S_ISREG(status.st_mode));
    expect_content(path, FILE_OWN, "new", 0600);
    expect_content(victim, FILE_OWN, "untouched", 0600);

    free(scratch_file(folder, "file.new", S("left over, and longer than what comes")));
    ck_assert_int_eq(chmod(beside, 0666), 0);
    ck_assert_int_eq(file_replace(path, S("newer"), NULL), 0);
    expect_content(path, FILE_OWN, "newer", 0600);
    free(beside);
    free(path);
    free(victim);
    free(folder);
}

TEST(a_file_that_cannot_be_written_says_why_and_leaves_nothing_behind) {
    char *folder = scratch_new(), *missing = scratch_text("%s/missing/file", folder);
    struct err_text why = {""};
    ck_assert_int_eq(file_replace(missing, S("x"), &why), ERR_SYSTEM);
    char *text = scratch_text("cannot create %s.new: No such file or directory", missing);
    ck_assert_str_eq(why.text, text);
    free(text);

    char *taken = scratch_text("%s/taken", folder), *beside = scratch_text("%s.new", taken);
    ck_assert_int_eq(mkdir(taken, 0700), 0);
    ck_assert_int_eq(file_replace(taken, S("x"), &why), ERR_SYSTEM);
    text = scratch_text("cannot replace %s: Is a directory", taken);
    ck_assert_str_eq(why.text, text);
    ck_assert_int_ne(access(beside, F_OK), 0);
    free(text);

    char *deep = malloc(5001);
    memset(deep, 'd', 5000);
    deep[5000] = '\0';
    ck_assert_int_eq(file_replace(deep, S("x"), &why), ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(why.text, "the path ddd"));
    free(deep);
    free(beside);
    free(taken);
    free(missing);
    free(folder);
}

/* --- rewrite --------------------------------------------------------------------------------- */

TEST(a_rewritten_file_keeps_its_mode_and_a_new_one_is_for_its_owner_alone) {
    static const mode_t masks[] = {0, 022, 0777};
    static const mode_t modes[] = {0600, 0644, 0660, 0640};
    char *folder = scratch_new(), *path = scratch_text("%s/file", folder);
    char *beside = scratch_text("%s.new", path);
    for (size_t i = 0; i < ARRAY_LEN(masks); i++) {
        struct err_text why = {""};
        umask(masks[i]);
        ck_assert_msg(file_rewrite(path, S("new"), &why) == 0, "%s", why.text);
        expect_content(path, FILE_NAMED, "new", 0600);
        for (size_t j = 0; j < ARRAY_LEN(modes); j++) {
            ck_assert_int_eq(chmod(path, modes[j]), 0);
            ck_assert_msg(file_rewrite(path, S("longer than before"), &why) == 0, "%s", why.text);
            expect_content(path, FILE_NAMED, "longer than before", modes[j]);
        }
        ck_assert_int_ne(access(beside, F_OK), 0);
        ck_assert_int_eq(unlink(path), 0);
    }
    free(beside);
    free(path);
    free(folder);
}

TEST(a_rewritten_file_keeps_its_owner) {
    if (geteuid() != 0) test_skip("only root can give files away");
    char *folder = scratch_new(), *path = scratch_file(folder, "file", S("old"));
    struct stat after;
    ck_assert_int_eq(chmod(path, 0640), 0);
    ck_assert_int_eq(chown(path, 12345, 54321), 0);
    ck_assert_int_eq(file_rewrite(path, S("new"), NULL), 0);
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert_uint_eq(after.st_uid, 12345);
    ck_assert_uint_eq(after.st_gid, 54321);
    expect_content(path, FILE_NAMED, "new", 0640);
    free(path);
    free(folder);
}

TEST(a_file_whose_owner_cannot_be_kept_is_not_rewritten) {
    if (geteuid() != 0) test_skip("only root can give files away, and itself up");
    char *folder = scratch_new(), *path = scratch_file(folder, "file", S("old"));
    struct err_text why = {""};
    ck_assert_int_eq(chmod(scratch_root(), 0755), 0);
    ck_assert_int_eq(chown(folder, 12345, 12345), 0);
    ck_assert_int_eq(chmod(path, 0666), 0);
    ck_assert_int_eq(seteuid(12345), 0);
    int r = file_rewrite(path, S("new"), &why);
    ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(r, ERR_SYSTEM);
    char *text = scratch_text("cannot give %s.new the owner of the file that it replaces: "
                              "Operation not permitted",
                              path);
    ck_assert_str_eq(why.text, text);
    expect_content(path, FILE_NAMED, "old", 0666);
    free(text);
    text = scratch_text("%s.new", path);
    ck_assert_int_ne(access(text, F_OK), 0);
    free(text);
    free(path);
    free(folder);
}

TEST(a_link_to_a_rewritten_file_stays_one) {
    char *folder = scratch_new(), *target = scratch_file(folder, "target", S("old"));
    char *path = scratch_text("%s/link", folder);
    struct stat status;
    ck_assert_int_eq(chmod(target, 0640), 0);
    ck_assert_int_eq(symlink("target", path), 0);
    ck_assert_int_eq(file_rewrite(path, S("new"), NULL), 0);
    ck_assert(lstat(path, &status) == 0 && S_ISLNK(status.st_mode));
    expect_content(target, FILE_NAMED, "new", 0640);
    free(path);
    free(target);
    free(folder);
}

TEST(a_file_that_cannot_be_rewritten_says_why) {
    char *folder = scratch_new(), *missing = scratch_text("%s/missing/file", folder);
    char *under = scratch_file(folder, "plain", S("x")), *inside = scratch_text("%s/file", under);
    struct err_text why = {""};
    ck_assert_int_eq(file_rewrite(missing, S("x"), &why), ERR_SYSTEM);
    ck_assert_ptr_nonnull(strstr(why.text, "file.new: No such file or directory"));
    ck_assert_int_eq(file_rewrite(inside, S("x"), &why), ERR_SYSTEM);
    char *text = scratch_text("cannot reach %s: Not a directory", inside);
    ck_assert_str_eq(why.text, text);
    expect_content(under, FILE_NAMED, "x", 0600);
    free(text);
    free(inside);
    free(under);
    free(missing);
    free(folder);
}
