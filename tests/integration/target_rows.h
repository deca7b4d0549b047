/*
 * target_rows: request targets, as they are and as they are to be spelt for an attacker, and what
 * becomes of them where all of /public/ is open and /admin with all below it needs a scope.
 */
#ifndef TESTS_INTEGRATION_TARGET_ROWS_H
#define TESTS_INTEGRATION_TARGET_ROWS_H

struct target_row {
    int group; /* 1: dot segments, 2: escaped slashes, 3: one form, 4: other paths, 5: what no URL
                  may hold, 6: double encoding, 7: other forms of a target; 0: as they should be */
    const char *target;
    int status;         /* without that scope: 200, 403, 404, or 400 */
    const char *normal; /* the one form that is judged and passed on; NULL with 404 and 400 */
};

/* All of them; the last one's target is NULL. */
extern const struct target_row target_rows[];

#endif
