#include "server/deny_watch.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define S(text) SPAN_LITERAL(text)
#define SUB(name) "{\"sub\": \"" name "\"}\n"
#define WAIT_MS 10000

static void list_ref(void *list) {
    deny_list_ref(list);
}

static void list_unref(void *list) {
    deny_list_unref(list);
}

/* A folder with the file "deny", or without it, and who watches it. */
struct house {
    char *folder, *path;
    struct snapshot denied;
    struct deny_watch *watch;
};

static void open_watch(struct house *house) {
    struct err_text why = {""};
    int r = deny_watch_open(house->path, NULL, &house->watch, &why);
    ck_assert_msg(r == 0, "%s", why.text);
    deny_watch_publish(house->watch, NULL, &house->denied);
}

static struct house house_open(const char *text) {
    struct house house = {.folder = scratch_new()};
    house.path = scratch_text("%s/deny", house.folder);
    if (text) free(scratch_file(house.folder, "deny", span_of(text)));
    snapshot_init(&house.denied, list_ref, list_unref);
    open_watch(&house);
    return house;
}

static void house_done(struct house *house) {
    deny_watch_close(house->watch);
    snapshot_done(&house->denied);
    free(house->path);
    free(house->folder);
}

/* The list in force, as text. The caller frees it. */
static char *in_force(struct house *house) {
    uint64_t ignored;
    struct buf text = buf_make(65536);
    struct deny_list *list = snapshot_acquire(&house->denied, &ignored);
    buf_add_text(&text, "");
    for (size_t i = 0; i < deny_list_count(list); i++) {
        deny_entry_add(deny_list_at(list, i), &text);
        buf_add_char(&text, '\n');
    }
    deny_list_unref(list);
    return text.data ? text.data : strdup("");
}

static bool is_in_force(struct house *house, const char *text) {
    char *now = in_force(house);
    bool same = strcmp(now, text) == 0;
    free(now);
    return same;
}

#define expect(house, text) ck_assert(is_in_force((house), (text)))

/* Look, as the main thread does, until this is in force. */
static void await(struct house *house, const char *text) {
    for (long until = process_now_ms() + WAIT_MS; !is_in_force(house, text);) {
        ck_assert_msg(process_now_ms() < until, "never in force: %s", text);
        struct pollfd fd = {deny_watch_fd(house->watch), POLLIN, 0};
        poll(&fd, 1, 50);
        deny_watch_look(house->watch, &house->denied);
    }
}

/* Look for longer than anything needs to be noticed: this stays in force. */
static void await_nothing(struct house *house, const char *text) {
    for (long until = process_now_ms() + 1000; process_now_ms() < until; process_sleep_ms(50)) {
        deny_watch_look(house->watch, &house->denied);
        expect(house, text);
    }
}

static void write_in_place(const struct house *house, const char *text) {
    free(scratch_file(house->folder, "deny", span_of(text)));
}

static void rename_over(const struct house *house, const char *text) {
    char *fresh = scratch_file(house->folder, "fresh", span_of(text));
    ck_assert_int_eq(rename(fresh, house->path), 0);
    free(fresh);
}

/* --- the file -------------------------------------------------------------------------------- */

TEST(each_way_to_change_the_file_is_seen) {
    struct house house = house_open(SUB("a"));
    expect(&house, SUB("a"));
    write_in_place(&house, SUB("b"));
    await(&house, SUB("b"));
    rename_over(&house, SUB("c") SUB("d"));
    await(&house, SUB("c") SUB("d"));
    FILE *file = fopen(house.path, "ae");
    fputs(SUB("e"), file);
    fclose(file);
    await(&house, SUB("c") SUB("d") SUB("e"));
    write_in_place(&house, "");
    await(&house, "");
    house_done(&house);
}

/* Events tell at once; polling alone would take its time. */
TEST(a_change_wakes_whoever_waits) {
    struct house house = house_open(SUB("a"));
    struct pollfd fd = {deny_watch_fd(house.watch), POLLIN, 0};
    ck_assert_int_eq(poll(&fd, 1, 0), 0);
    rename_over(&house, SUB("b"));
    ck_assert_int_eq(poll(&fd, 1, 1000), 1);
    deny_watch_look(house.watch, &house.denied);
    expect(&house, SUB("b"));
    ck_assert_int_eq(poll(&fd, 1, 0), 0);
    house_done(&house);
}

TEST(what_changes_nothing_is_not_published_again) {
    struct house house = house_open(SUB("a"));
    ck_assert_uint_eq(snapshot_generation(&house.denied), 1);
    rename_over(&house, SUB("a"));
    free(scratch_file(house.folder, "other", S(SUB("x"))));
    await_nothing(&house, SUB("a"));
    ck_assert_uint_eq(snapshot_generation(&house.denied), 1);
    house_done(&house);
}

TEST(a_file_that_comes_later_and_whose_folder_comes_later_is_seen) {
    struct house house = house_open(NULL);
    expect(&house, "");
    write_in_place(&house, SUB("a"));
    await(&house, SUB("a"));
    house_done(&house);

    struct house away = {.folder = scratch_new()};
    away.path = scratch_text("%s/sub/deny", away.folder);
    snapshot_init(&away.denied, list_ref, list_unref);
    open_watch(&away);
    char *inner = scratch_text("%s/sub", away.folder);
    ck_assert_int_eq(mkdir(inner, 0700), 0);
    free(scratch_file(inner, "deny", S(SUB("a"))));
    await(&away, SUB("a"));
    free(scratch_file(inner, "deny", S(SUB("b"))));
    await(&away, SUB("b"));
    free(inner);
    house_done(&away);
}

/* The folder that is watched does not change, and the link does not either. */
TEST(a_change_behind_a_link_is_seen) {
    char *folder = scratch_new(), *target = scratch_file(folder, "deny", S(SUB("a")));
    struct house house = {.folder = scratch_new()};
    house.path = scratch_text("%s/deny", house.folder);
    ck_assert_int_eq(symlink(target, house.path), 0);
    snapshot_init(&house.denied, list_ref, list_unref);
    open_watch(&house);
    free(scratch_file(folder, "deny", S(SUB("b"))));
    await(&house, SUB("b"));
    char *fresh = scratch_file(folder, "fresh", S(SUB("c")));
    ck_assert_int_eq(rename(fresh, target), 0);
    await(&house, SUB("c"));
    free(scratch_file(folder, "deny", S(SUB("d"))));
    await(&house, SUB("d"));
    free(fresh);
    free(target);
    free(folder);
    house_done(&house);
}

TEST(a_folder_that_was_replaced_is_watched_again) {
    struct house house = house_open(SUB("a"));
    char *old = scratch_text("%s.old", house.folder);
    ck_assert_int_eq(rename(house.folder, old), 0);
    ck_assert_int_eq(mkdir(house.folder, 0700), 0);
    write_in_place(&house, SUB("b"));
    await(&house, SUB("b"));
    write_in_place(&house, SUB("c"));
    await(&house, SUB("c"));
    free(old);
    house_done(&house);
}

/* --- what changes nothing -------------------------------------------------------------------- */

TEST(a_bad_line_a_lost_file_and_an_unreadable_one_leave_the_list_in_force) {
    struct house house = house_open(SUB("a"));
    rename_over(&house, SUB("b") "{\"sbu\": \"c\"}\n");
    await_nothing(&house, SUB("a"));
    ck_assert_int_eq(unlink(house.path), 0);
    await_nothing(&house, SUB("a"));
    ck_assert_int_eq(mkdir(house.path, 0700), 0);
    await_nothing(&house, SUB("a"));
    ck_assert_int_eq(rmdir(house.path), 0);
    write_in_place(&house, SUB("d"));
    await(&house, SUB("d"));
    house_done(&house);
}

/* Who writes in place empties the file first, and may take his time. */
TEST(a_file_is_not_read_while_it_is_written) {
    struct house house = house_open(SUB("a") SUB("b"));
    FILE *file = fopen(house.path, "we");
    for (int i = 0; i < 2; i++) {
        await_nothing(&house, SUB("a") SUB("b"));
        fputs("# half of it\n", file);
        fflush(file);
    }
    fputs(SUB("a"), file);
    fclose(file);
    await(&house, SUB("a"));
    house_done(&house);
}

TEST(a_file_that_becomes_readable_is_read) {
    if (geteuid() != 0) test_skip("needs to become somebody who may read less");
    struct house house = house_open(SUB("a"));
    ck_assert_int_eq(chmod(scratch_root(), 0755), 0);
    ck_assert_int_eq(chmod(house.folder, 0755), 0);
    ck_assert_int_eq(chmod(house.path, 0), 0);
    write_in_place(&house, SUB("b")); /* as root may, and mode 0 it stays */
    ck_assert_int_eq(chmod(house.path, 0), 0);
    ck_assert_int_eq(seteuid(12345), 0);
    await_nothing(&house, SUB("a"));
    ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(chmod(house.path, 0644), 0);
    ck_assert_int_eq(seteuid(12345), 0);
    await(&house, SUB("b"));
    ck_assert_int_eq(seteuid(0), 0);
    house_done(&house);
}

TEST(a_start_needs_a_file_that_is_sound_or_missing) {
    char *folder = scratch_new(), *path = scratch_file(folder, "deny", S(SUB("a") "x\n"));
    struct deny_watch *watch = NULL;
    struct err_text why = {""};
    ck_assert_int_eq(deny_watch_open(path, NULL, &watch, &why), ERR_SYNTAX);
    char *text = scratch_text("deny_list: %s:2: the entry is not valid JSON", path);
    ck_assert_msg(strncmp(why.text, text, strlen(text)) == 0, "%s", why.text);
    free(text);
    ck_assert_int_eq(deny_watch_open(folder, NULL, &watch, &why), ERR_SYSTEM);
    text = scratch_text("deny_list: %s is not a file", folder);
    ck_assert_str_eq(why.text, text);
    ck_assert_ptr_null(watch);
    free(text);
    free(path);
    free(folder);
}

/* --- another configuration ------------------------------------------------------------------- */

/* Go on with that path, as a reload does. */
static int reopen(struct house *house, const char *path, struct err_text *why) {
    struct deny_watch *next = NULL;
    int r = deny_watch_open(path, house->watch, &next, why);
    if (r < 0) return r;
    deny_watch_publish(next, house->watch, &house->denied);
    deny_watch_close(house->watch);
    house->watch = next;
    free(house->path);
    house->path = strdup(path);
    return 0;
}

TEST(a_reload_reads_again_and_takes_nothing_bad) {
    struct house house = house_open(SUB("a"));
    struct err_text why = {""};
    char *path = strdup(house.path);
    ck_assert_int_eq(reopen(&house, path, &why), 0);
    ck_assert_uint_eq(snapshot_generation(&house.denied), 1); /* the same list */
    rename_over(&house, SUB("b"));
    ck_assert_int_eq(reopen(&house, path, &why), 0);
    expect(&house, SUB("b"));
    rename_over(&house, "x\n");
    ck_assert_int_eq(reopen(&house, path, &why), ERR_SYNTAX);
    expect(&house, SUB("b"));
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(reopen(&house, path, &why), 0);
    expect(&house, SUB("b"));
    rename_over(&house, SUB("c"));
    await(&house, SUB("c"));
    free(path);
    house_done(&house);
}

TEST(another_file_must_exist_where_anything_is_denied) {
    struct house house = house_open(SUB("a"));
    struct err_text why = {""};
    char *other = scratch_text("%s/other", house.folder);
    ck_assert_int_eq(reopen(&house, other, &why), ERR_SYSTEM);
    ck_assert_msg(strstr(why.text, "does not exist, and 1 entries of"), "%s", why.text);
    expect(&house, SUB("a"));
    free(scratch_file(house.folder, "other", S("")));
    ck_assert_int_eq(reopen(&house, other, &why), 0);
    expect(&house, "");
    char *third = scratch_text("%s/third", house.folder);
    ck_assert_int_eq(reopen(&house, third, &why), 0); /* nothing is lost */
    ck_assert_int_eq(reopen(&house, "", &why), 0);
    expect(&house, "");
    ck_assert_int_eq(deny_watch_fd(house.watch), -1);
    deny_watch_look(house.watch, &house.denied);
    free(third);
    free(other);
    house_done(&house);
}

/* --- changes --------------------------------------------------------------------------------- */

static struct admin_errand change(struct house *house, bool lift, const char *line) {
    struct admin_errand errand = {.lift = lift};
    ck_assert_int_eq(deny_entry_parse(span_of(line), &errand.object, &errand.entry, NULL), 0);
    deny_watch_change(house->watch, &house->denied, &errand);
    admin_errand_done(&errand);
    return errand;
}

static void expect_change(struct house *house, bool lift, const char *line, size_t count,
                          const char *list, const char *file) {
    struct admin_errand errand = change(house, lift, line);
    ck_assert_msg(errand.done, "%s", errand.refusal.text);
    ck_assert_uint_eq(errand.count, count);
    expect(house, list);
    char *text = scratch_read(house->path, NULL);
    ck_assert(file ? text && strcmp(text, file) == 0 : !text);
    free(text);
}

TEST(a_change_is_in_the_file_and_in_force_when_it_is_over) {
    struct house house = house_open(NULL);
    expect_change(&house, true, "{\"sub\":\"a\"}", 0, "", NULL);
    expect_change(&house, false, "{\"sub\":\"a\"}", 1, SUB("a"), SUB("a"));
    expect_change(&house, false, "{\"sub\":\"a\"}", 0, SUB("a"), SUB("a"));
    ck_assert_uint_eq(snapshot_generation(&house.denied), 2);
    expect_change(&house, false, "{\"sub\":\"b\"}", 1, SUB("a") SUB("b"), SUB("a") SUB("b"));
    struct stat status;
    ck_assert_int_eq(stat(house.path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0600);
    ck_assert_int_eq(chmod(house.path, 0640), 0);
    expect_change(&house, true, "{\"sub\":\"a\"}", 1, SUB("b"), SUB("b"));
    ck_assert_int_eq(stat(house.path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0640);
    expect_change(&house, true, "{\"sub\":\"a\"}", 0, SUB("b"), SUB("b"));
    /* Our own writing is nothing new. */
    uint64_t generation = snapshot_generation(&house.denied);
    await_nothing(&house, SUB("b"));
    ck_assert_uint_eq(snapshot_generation(&house.denied), generation);
    house_done(&house);
}

TEST(what_was_changed_by_hand_meanwhile_is_kept_and_comes_into_force) {
    struct house house = house_open("# ours\n" SUB("a"));
    rename_over(&house, "# theirs\n" SUB("x"));
    expect_change(&house, false, "{\"sub\":\"b\"}", 1, SUB("x") SUB("b"),
                  "# theirs\n" SUB("x") SUB("b"));
    rename_over(&house, "# theirs\n" SUB("b"));
    expect_change(&house, false, "{\"sub\":\"b\"}", 0, SUB("b"), "# theirs\n" SUB("b"));
    house_done(&house);
}

TEST(a_file_that_was_lost_is_made_again_from_the_list_in_force) {
    struct house house = house_open("# lost\n" SUB("a") SUB("b"));
    ck_assert_int_eq(unlink(house.path), 0);
    await_nothing(&house, SUB("a") SUB("b"));
    expect_change(&house, false, "{\"sub\":\"a\"}", 0, SUB("a") SUB("b"), SUB("a") SUB("b"));
    ck_assert_int_eq(unlink(house.path), 0);
    await_nothing(&house, SUB("a") SUB("b"));
    expect_change(&house, true, "{\"sub\":\"b\"}", 1, SUB("a"), SUB("a"));
    house_done(&house);
}

static void expect_no_change(struct house *house, const char *line, const char *why) {
    struct admin_errand errand = change(house, false, line);
    ck_assert(!errand.done);
    ck_assert_int_eq(errand.refusal.reason, REASON_NOT_WRITTEN);
    ck_assert_msg(strstr(errand.refusal.text, why), "%s", errand.refusal.text);
}

TEST(a_change_that_cannot_be_written_is_not_in_force) {
    struct house house = house_open(SUB("a"));
    rename_over(&house, SUB("a") "x\n");
    expect_no_change(&house, "{\"sub\":\"b\"}", "deny:2: the entry is not valid JSON");
    rename_over(&house, SUB("a"));
    char *beside = scratch_text("%s.new", house.path);
    ck_assert_int_eq(mkdir(beside, 0700), 0);
    expect_no_change(&house, "{\"sub\":\"b\"}", "deny.new: File exists");
    expect(&house, SUB("a"));
    ck_assert_int_eq(rmdir(beside), 0);
    expect_change(&house, false, "{\"sub\":\"b\"}", 1, SUB("a") SUB("b"), SUB("a") SUB("b"));
    free(beside);
    house_done(&house);
}

/* What stands there in the middle of writing is not what anybody means. */
TEST(a_file_that_is_being_written_is_not_changed) {
    struct house house = house_open(SUB("a"));
    FILE *file = fopen(house.path, "we");
    expect_no_change(&house, "{\"sub\":\"b\"}", "was changed by somebody who may not be done");
    expect(&house, SUB("a"));
    fputs(SUB("c"), file);
    fclose(file);
    expect_change(&house, false, "{\"sub\":\"b\"}", 1, SUB("c") SUB("b"), SUB("c") SUB("b"));
    house_done(&house);
}

TEST(without_a_file_there_is_nothing_to_change) {
    struct house house = house_open(SUB("a"));
    struct err_text why = {""};
    ck_assert_int_eq(reopen(&house, "", &why), 0);
    struct admin_errand errand = change(&house, false, "{\"sub\":\"b\"}");
    ck_assert(!errand.done);
    ck_assert_int_eq(errand.refusal.reason, REASON_NO_ROUTE);
    house_done(&house);
}
