#include "server/deny_watch.h"

#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "server/token/deny_text.h"
#include "server/token/siphash.h"

/*
 * Whoever writes in place empties the file first, and may take a while. So it is read when a writer
 * closes it or puts another in its place, and never for having changed.
 */
#define FILE_EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO)
#define FOLDER_EVENTS (IN_DELETE_SELF | IN_MOVE_SELF)

/* How long another file that came without an event must have stayed the same to be read. */
#define SETTLED_MS 400

/* By what a file is told from another, or from what it was before. */
struct stamp {
    bool exists;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

/* A text, to tell whether another is the same. */
struct print {
    size_t len;
    uint64_t hash;
};

struct deny_watch {
    char *path;
    const char *name;       /* in its folder; in path */
    struct deny_list *list; /* in force; NULL where none is configured */
    struct print print;     /* of the text it was made from */
    struct stamp seen;      /* of the file when it was looked at last, */
    struct stamp settling;  /* and when it was found to have changed since then */
    int64_t settling_since_ms;
    bool unreadable; /* when it was looked at last */
    int fd;          /* inotify; -1 = none */
    int folder;      /* its watches, of the folder, which tells of another file in place of ours, */
    int file;        /* and of the file, wherever links lead; -1 = none */
};

/* --- stamps and prints --------------------------------------------------------------------- */

static struct stamp stamp_of(const char *path) {
    struct stat status;
    if (stat(path, &status) < 0) return (struct stamp){0};
    return (struct stamp){true,           status.st_dev,  status.st_ino,
                          status.st_size, status.st_mtim, status.st_ctim};
}

static bool same_time(struct timespec a, struct timespec b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_file(const struct stamp *a, const struct stamp *b) {
    if (!a->exists || !b->exists) return a->exists == b->exists;
    return a->device == b->device && a->inode == b->inode;
}

static bool same_content(const struct stamp *a, const struct stamp *b) {
    return same_file(a, b) && a->size == b->size && same_time(a->modified, b->modified);
}

static bool same_stamp(const struct stamp *a, const struct stamp *b) {
    return same_content(a, b) && same_time(a->changed, b->changed);
}

static struct print print_of(struct span text) {
    static struct siphash_key key; /* one for the process; one thread */
    if (!key.words[0] && getrandom(&key, sizeof key, 0) != sizeof key) return (struct print){0};
    return (struct print){text.len, siphash_1_3(&key, text)};
}

static bool same_print(struct print a, struct print b) {
    return a.len == b.len && a.hash == b.hash && a.hash;
}

/* --- reading ------------------------------------------------------------------------------- */

/* Without watches another file is found all the same, a little later. */
static void watch_folder(struct deny_watch *watch) {
    char *folder = strndup(watch->path, (size_t)(watch->name - watch->path));

    watch->folder = -1;
    if (folder && watch->fd >= 0)
        watch->folder =
            inotify_add_watch(watch->fd, folder, FILE_EVENTS | FOLDER_EVENTS | IN_ONLYDIR);
    free(folder);
}

static void watch_file(struct deny_watch *watch) {
    int before = watch->file;

    if (watch->fd < 0) return;
    watch->file = inotify_add_watch(watch->fd, watch->path, IN_CLOSE_WRITE);
    if (before >= 0 && before != watch->file) inotify_rm_watch(watch->fd, before);
}

static int read_text(const char *path, struct buf *ret, bool *ret_exists, struct err_text *err) {
    struct file_facts facts;
    int r = file_read(path, FILE_NAMED, ret, &facts, err);
    *ret_exists = facts.exists;
    return r;
}

/* All that comes later than this is seen later. */
static int look_and_read(struct deny_watch *watch, struct buf *ret, bool *ret_exists,
                         struct err_text *err) {
    watch_file(watch);
    watch->settling = watch->seen = stamp_of(watch->path);
    int r = read_text(watch->path, ret, ret_exists, err);
    watch->unreadable = r < 0;
    return r;
}

static void install(struct deny_watch *watch, struct deny_list *list, struct span text) {
    deny_list_unref(watch->list);
    watch->list = list;
    watch->print = print_of(text);
}

static void publish(const struct deny_watch *watch, struct snapshot *denied) {
    snapshot_publish(denied, deny_list_ref(watch->list));
    LOG(LOG_NOTICE, watch->list ? "deny list in force" : "no deny list any more",
        LOG_TEXT("path", *watch->path ? watch->path : NULL),
        LOG_NUMBER("entries", deny_list_count(watch->list)));
}

static void tell_kept(const struct deny_watch *watch, const char *why) {
    LOG(LOG_ERROR, "deny list not taken, the one before stays in force", LOG_TEXT("why", why),
        LOG_NUMBER("entries", deny_list_count(watch->list)));
}

static void tell_gone(const struct deny_watch *watch) {
    if (deny_list_count(watch->list) == 0) return;
    struct err_text why;
    err_set(&why, 0,
            "%s is gone, and a restart would let in what it denied; put it back, or an empty file "
            "if nothing is to be denied",
            watch->path);
    tell_kept(watch, why.text);
}

/* The list of that text, unless it is the one in force: then *ret stays as it is. */
static int parse_news(const struct deny_watch *watch, struct span text, struct deny_list **ret,
                      struct err_text *err) {
    if (same_print(print_of(text), watch->print)) return 0;
    return deny_list_parse(text, watch->path, ret, err);
}

/* Read the file, and take what it says if it is sound and new. */
static void take(struct deny_watch *watch, struct snapshot *denied) {
    CLEANUP(buf_done) struct buf text = buf_make(DENY_TEXT_MAX);
    struct deny_list *list = NULL;
    struct err_text why;
    bool exists;

    int r = look_and_read(watch, &text, &exists, &why);
    if (r == 0 && !exists) {
        tell_gone(watch);
        return;
    }
    if (r == 0) r = parse_news(watch, buf_span(&text), &list, &why);
    if (r < 0) tell_kept(watch, why.text);
    if (!list) return;
    install(watch, list, buf_span(&text));
    publish(watch, denied);
}

/* --- opening ------------------------------------------------------------------------------- */

/* The file does not exist. May that be? */
static int open_missing(struct deny_watch *watch, const struct deny_watch *previous,
                        struct err_text *err) {
    size_t count = previous ? deny_list_count(previous->list) : 0;

    if (count && strcmp(watch->path, previous->path) != 0)
        return err_set(err, ERR_SYSTEM,
                       "deny_list: %s does not exist, and %zu entries of %s are in force; move "
                       "that file, or make an empty one if nothing is to be denied",
                       watch->path, count, previous->path);
    if (!count) {
        watch->print = print_of(SPAN_LITERAL(""));
        return deny_list_parse(SPAN_LITERAL(""), watch->path, &watch->list, err);
    }
    watch->list = deny_list_ref(previous->list);
    watch->print = previous->print;
    tell_gone(watch);
    return 0;
}

static int open_file(struct deny_watch *watch, const struct deny_watch *previous,
                     struct err_text *err) {
    CLEANUP(buf_done) struct buf text = buf_make(DENY_TEXT_MAX);
    struct err_text why;
    bool exists;

    int r = look_and_read(watch, &text, &exists, &why);
    if (r == 0 && !exists) return open_missing(watch, previous, err);
    struct print print = print_of(buf_span(&text));
    if (r == 0 && previous && previous->list && same_print(print, previous->print)) {
        watch->list = deny_list_ref(previous->list);
        watch->print = print;
        return 0;
    }
    struct deny_list *list = NULL;
    if (r == 0) r = deny_list_parse(buf_span(&text), watch->path, &list, &why);
    if (r < 0) return err_set(err, r, "deny_list: %s", why.text);
    install(watch, list, buf_span(&text));
    return 0;
}

int deny_watch_open(const char *path, const struct deny_watch *previous, struct deny_watch **ret,
                    struct err_text *err) {
    CLEANUP(deny_watch_closep) struct deny_watch *watch = calloc(1, sizeof *watch);
    if (!watch) return err_set(err, ERR_MEMORY, "out of memory");
    watch->fd = watch->folder = watch->file = -1;
    watch->path = strdup(path);
    if (!watch->path) return err_set(err, ERR_MEMORY, "out of memory");
    const char *slash = strrchr(watch->path, '/');
    watch->name = slash ? slash + 1 : watch->path;

    if (*path) {
        watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        watch_folder(watch); /* before it is read, so that no change is missed */
        int r = open_file(watch, previous, err);
        if (r < 0) return r;
    }
    *ret = TAKE_PTR(watch);
    return 0;
}

void deny_watch_close(struct deny_watch *watch) {
    if (!watch) return;
    if (watch->fd >= 0) close(watch->fd);
    deny_list_unref(watch->list);
    free(watch->path);
    free(watch);
}

void deny_watch_publish(const struct deny_watch *watch, const struct deny_watch *previous,
                        struct snapshot *denied) {
    if (watch->list != (previous ? previous->list : NULL)) publish(watch, denied);
}

/* --- looking ------------------------------------------------------------------------------- */

int deny_watch_fd(const struct deny_watch *watch) {
    return watch->fd;
}

/* Is one of the events about the file? */
static bool read_events(struct deny_watch *watch) {
    _Alignas(struct inotify_event) char bytes[4096];
    bool about_file = false;
    ssize_t n;

    while (watch->fd >= 0 && (n = read(watch->fd, bytes, sizeof bytes)) > 0) {
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (const void *)(bytes + at);
            at += (ssize_t)(sizeof *event + event->len);
            if (event->mask & FOLDER_EVENTS) {
                inotify_rm_watch(watch->fd, watch->folder);
                watch->folder = -1;
            }
            if (!(event->mask & FILE_EVENTS)) continue;
            about_file = about_file || event->wd == watch->file ||
                         (event->len && strcmp(event->name, watch->name) == 0);
        }
    }
    return about_file;
}

/*
 * Is there another file than the one that was read, for a while already? Of a change of the same
 * file only an event can tell whether it is complete; one that could not be read is tried again.
 */
static bool was_replaced(struct deny_watch *watch) {
    struct stamp now = stamp_of(watch->path);
    int64_t now_ms = clock_monotonic_ms();

    bool may_be_new =
        watch->unreadable ? !same_stamp(&now, &watch->seen) : !same_file(&now, &watch->seen);
    if (!may_be_new || !same_stamp(&now, &watch->settling)) {
        watch->settling = now;
        watch->settling_since_ms = now_ms;
        return false;
    }
    return now_ms >= watch->settling_since_ms + SETTLED_MS;
}

void deny_watch_look(struct deny_watch *watch, struct snapshot *denied) {
    if (!*watch->path) return;
    if (watch->folder < 0) watch_folder(watch); /* it may be there by now */
    if (read_events(watch) || was_replaced(watch)) take(watch, denied);
}

/* --- changing ------------------------------------------------------------------------------ */

/* The text of the file; where it is gone, that of the list in force. */
static int text_to_change(const struct deny_watch *watch, struct buf *ret, bool *ret_exists,
                          struct err_text *err) {
    int r = read_text(watch->path, ret, ret_exists, err);
    if (r < 0 || *ret_exists) return r;
    for (size_t i = 0; i < deny_list_count(watch->list); i++) {
        deny_entry_add(deny_list_at(watch->list, i), ret);
        buf_add_char(ret, '\n');
    }
    return buf_ok(ret) ? 0 : err_set(err, ERR_LIMIT, "%s: it is too large", watch->path);
}

/* Somebody may be writing it in place, and what is there now need not be what he means. */
static int check_quiet(struct deny_watch *watch, struct snapshot *denied, struct err_text *err) {
    deny_watch_look(watch, denied);
    struct stamp now = stamp_of(watch->path);
    if (same_content(&now, &watch->seen)) return 0;
    return err_set(err, ERR_SYSTEM,
                   "%s was changed by somebody who may not be done; try again then, or send SIGHUP "
                   "to have it read as it is",
                   watch->path);
}

/* What the file says from now on, before and after the change. */
struct texts {
    struct buf before, after;
    bool exists;
};

static void texts_done(struct texts *texts) {
    buf_done(&texts->before);
    buf_done(&texts->after);
}

static int change_text(const struct deny_watch *watch, struct admin_errand *errand,
                       struct texts *texts, struct err_text *err) {
    int r = text_to_change(watch, &texts->before, &texts->exists, err);
    if (r < 0) return r;
    return (errand->lift ? deny_text_remove : deny_text_add)(buf_span(&texts->before), watch->path,
                                                             &errand->entry, clock_wall(),
                                                             &texts->after, &errand->count, err);
}

/* What was changed by hand and not looked at yet comes into force with it. */
static int change(struct deny_watch *watch, struct snapshot *denied, struct admin_errand *errand,
                  struct err_text *err) {
    CLEANUP(texts_done)
    struct texts texts = {.before = buf_make(DENY_TEXT_MAX), .after = buf_make(DENY_TEXT_MAX)};
    CLEANUP(deny_list_unrefp) struct deny_list *list = NULL;

    int r = check_quiet(watch, denied, err);
    if (r == 0) r = change_text(watch, errand, &texts, err);
    if (r < 0) return r;
    bool writes = errand->count || (!texts.exists && !errand->lift);
    struct span text = buf_span(writes ? &texts.after : &texts.before);
    r = deny_list_parse(text, watch->path, &list, err);
    if (r == 0 && writes) r = file_rewrite(watch->path, text, err);
    if (r < 0) return r;
    if (writes) {
        watch_file(watch);
        watch->settling = watch->seen = stamp_of(watch->path);
    }
    if (same_print(print_of(text), watch->print)) return 0;
    install(watch, TAKE_PTR(list), text);
    publish(watch, denied);
    return 0;
}

static void tell_changed(const struct admin_errand *errand) {
    CLEANUP(buf_done) struct buf entry = buf_make(2 * LOG_VALUE_MAX);
    deny_entry_add(&errand->entry, &entry);
    LOG(LOG_NOTICE, errand->lift ? "taken off the deny list" : "put on the deny list",
        LOG_SPAN("entry", buf_span(&entry)));
}

void deny_watch_change(struct deny_watch *watch, struct snapshot *denied,
                       struct admin_errand *errand) {
    struct err_text why;

    errand->count = 0;
    if (!*watch->path) {
        refuse(&errand->refusal, REASON_NO_ROUTE, "no deny list is configured any more");
        return;
    }
    if (change(watch, denied, errand, &why) < 0) {
        LOG(LOG_ERROR, "deny list not changed", LOG_TEXT("why", why.text));
        refuse(&errand->refusal, REASON_NOT_WRITTEN, "not done: %s", why.text);
        return;
    }
    errand->done = true;
    if (errand->count) tell_changed(errand);
}
