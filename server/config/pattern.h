/*
 * pattern: the paths and hosts that routes are written with.
 *
 * A path is meant alone; with a last segment "*" every path is that starts with what stands before
 * it; a segment {NAME} stands for any one segment that is not empty. A host is meant alone, or with
 * "*." before it every host that ends so, of however many labels.
 */
#ifndef SERVER_CONFIG_PATTERN_H
#define SERVER_CONFIG_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/span.h"

/* More segments, or more captures, than any path is written with. */
#define PATTERN_SEGMENTS_MAX 64
#define PATTERN_CAPTURES_MAX 16

/*
 * The next segment of a path, which rest begins with '/' or is empty: "/a/" has the segments "a"
 * and
 * "". False behind the last one.
 */
static inline bool pattern_next(struct span *rest, struct span *ret_segment) {
    if (rest->len == 0) return false;
    struct span behind = span_from(*rest, 1);
    size_t end = span_find(behind, '/');
    *ret_segment = span_until(behind, end);
    *rest = span_from(behind, end);
    return true;
}

/* Is the segment a capture, {name}? Then *ret_name, in segment, is the name. */
bool pattern_is_capture(struct span segment, struct span *ret_name);

/* The place of the capture of that name among those of the path; -1 where there is none. */
int pattern_find_capture(struct span path, struct span name);

/*
 * Check the path of a route. Requests are matched in normal form, so that a path which no request
 * can have in that form is refused: it would be a rule that silently never applies. ERR_SYNTAX with
 * the reason.
 */
int pattern_check_path(struct span path, struct err_text *why) MUST_CHECK;

/* Check a host of a route: a name or an address without port, or *.NAME. ERR_SYNTAX with it. */
int pattern_check_host(struct span host, struct err_text *why) MUST_CHECK;

/* Do both match the same paths? They may call their captures by different names. */
bool pattern_same_path(struct span a, struct span b);

/* A hash that is equal for paths that pattern_same_path() finds the same. */
uint64_t pattern_hash_path(struct span path);

#endif
