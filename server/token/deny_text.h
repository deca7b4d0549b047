/*
 * deny_text: the text of a deny list with one entry more, or with some fewer, and all else in it as
 * somebody wrote it.
 */
#ifndef SERVER_TOKEN_DENY_TEXT_H
#define SERVER_TOKEN_DENY_TEXT_H

#include "server/token/deny.h"

/* Lines whose entry ended so many seconds ago are left out when the text changes: longer than any
 * leeway, and than most clocks are wrong. */
#define DENY_KEPT_S 86400

/*
 * Write text to out, with entry on a line at its end; without that line where an entry about the
 * same tokens is there that counts as long or longer. *ret_count: lines that came or went for it, 0
 * or 1. now: wall clock, seconds. name: see deny_list_parse(), as for what is returned: a text with
 * a bad line is not changed. ERR_LIMIT also where out is full.
 */
int deny_text_add(struct span text, const char *name, const struct deny_entry *entry, int64_t now,
                  struct buf *out, size_t *ret_count, struct err_text *err) MUST_CHECK;

/*
 * The same without the entries about the same tokens. An entry that has an until, or a note, means
 * only those that have the same.
 */
int deny_text_remove(struct span text, const char *name, const struct deny_entry *entry,
                     int64_t now, struct buf *out, size_t *ret_count,
                     struct err_text *err) MUST_CHECK;

#endif
