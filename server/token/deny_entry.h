/*
 * deny_entry: one entry of the deny list, as it stands on a line: a JSON object with one of jti,
 * sub and kid, and perhaps issuer, until and note.
 */
#ifndef SERVER_TOKEN_DENY_ENTRY_H
#define SERVER_TOKEN_DENY_ENTRY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"

/* By what tokens are denied. */
enum deny_by {
    DENY_JTI, /* one token (RFC 7519 section 4.1.7) */
    DENY_SUB, /* all of a subject */
    DENY_KID, /* all that the key of that kid verifies */
    DENY_BY_COUNT,
};

/* The members' names, by enum deny_by. */
extern const char *const deny_names[DENY_BY_COUNT];

#define DENY_LINE_MAX ((size_t)16 * 1024)
#define DENY_FOR_EVER INT64_MAX

/* Borrowed. */
struct deny_entry {
    enum deny_by by;
    struct span value;  /* never empty */
    struct span issuer; /* absent: tokens of every issuer */
    struct span note;   /* for whoever keeps the list; absent: none */
    int64_t until;      /* wall clock, seconds; from then on it does not count; or DENY_FOR_EVER */
};

/* Does a line, without its end, say anything: is it neither empty nor a remark behind '#'? */
bool deny_line_counts(struct span line);

/*
 * Read a line without its end. *ret points into *ret_object, which the caller drops with
 * json_decref(). Refused, besides what json_read_object() refuses: unknown members, for one that is
 * misspelt would deny too much or too little; none or several of jti, sub and kid; members that are
 * empty or no strings; an until that is not "2026-12-01T00:00:00Z" to the letter (RFC 3339, UTC).
 * Returns 0, ERR_SYNTAX, ERR_LIMIT or ERR_MEMORY; err reads behind "the entry ", and says what
 * would be right.
 */
int deny_entry_parse(struct span line, json_t **ret_object, struct deny_entry *ret,
                     struct err_text *err) MUST_CHECK;

/* Write it as a line without its end, which deny_entry_parse() reads to the same. */
void deny_entry_add(const struct deny_entry *entry, struct buf *out);

/* Is it about the same tokens: the same member and the same issuer, or both every issuer? */
bool deny_entry_same(const struct deny_entry *a, const struct deny_entry *b);

#endif
