/*
 * reasons: what a reason means that a log or a metric names, for reasons that come with no token as
 * well.
 */
#ifndef SERVER_EXPLAIN_REASONS_H
#define SERVER_EXPLAIN_REASONS_H

#include <stdbool.h>

#include "common/buf.h"
#include "server/token/reason.h"

/* The reason of that name; or REASON_COUNT, with the name that was probably meant, or NULL. */
enum reason reasons_find(const char *name, const char **ret_near);

/* One reason, as text or as a JSON object; and all of them, a line each, or as a JSON array. */
void reasons_write(enum reason reason, bool json, struct buf *out);
void reasons_write_all(bool json, struct buf *out);

#endif
