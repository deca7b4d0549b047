/*
 * json_cases: texts that each reader of JSON takes or refuses alike.
 */
#ifndef TESTS_UNIT_COMMON_JSON_CASES_H
#define TESTS_UNIT_COMMON_JSON_CASES_H

#include "common/buf.h"

/* An object that is read. */
struct json_good {
    struct span text;
    size_t members;
};

/* A text that is refused. why: NULL where it is no valid JSON, at whatever byte. */
struct json_bad {
    struct span text;
    const char *why;
};

extern const struct json_good json_good[];
extern const struct json_bad json_bad[];
extern const size_t json_good_count, json_bad_count;

/* An object that holds brackets so deep, all of one kind or the other, closed or left open. The
 * caller's buf_done(). */
struct buf json_nested(size_t depth, char open, bool closed);

#endif
