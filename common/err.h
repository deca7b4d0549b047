/*
 * err: the few ways a function of common/ can fail, and a place for the sentence that tells why.
 *
 * Functions return 0 or one of the negative codes. Where a person will read about the failure, the
 * function also fills a struct err_text: what failed, on what, why. Libraries fill it, the program
 * logs it, once.
 */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#include "common/attr.h"

enum err {
    ERR_MEMORY = -1, /* allocation failed */
    ERR_SYNTAX = -2, /* the bytes are not what the grammar asks for */
    ERR_LIMIT = -3,  /* well-formed perhaps, but larger than we accept */
    ERR_SYSTEM = -4, /* the operating system or a library refused */
};

struct err_text {
    char text[512];
};

/*
 * Write the sentence into err (which may be NULL) and return code, so that a failing path reads
 * `return err_set(err, ERR_SYNTAX, "...")`. Longer sentences are cut.
 */
#define err_set(err, code, ...) (err_write((err), __VA_ARGS__), err_code(code))

/* The halves of err_set(), which stand here so that compilers and analysers see what it returns. */
void err_write(struct err_text *err, const char *format, ...) PRINTF_LIKE(2, 3);
static inline int err_code(int code) {
    return code;
}

#endif
