/*
 * problem: collects what is wrong with a configuration, so that one run can name everything.
 */
#ifndef SERVER_CONFIG_PROBLEM_H
#define SERVER_CONFIG_PROBLEM_H

#include "server/config/config.h"

/* A report longer than this helps nobody, and a hostile file must not fill the memory. */
#define PROBLEMS_MAX 1000

struct problems {
    struct config_problem *items;
    size_t count;
    bool out_of_memory;
    /*
     * Where the text was made from the environment: the variable behind each of its lines. It is
     * then named in place of the key, and the position is dropped.
     */
    const char *const *variables;
};

/*
 * Add one. line and column count from 1; 0 means the file as a whole. key, which may be NULL, opens
 * the text as "key: ". After PROBLEMS_MAX one says so and the others are dropped.
 */
void problem_add(struct problems *problems, unsigned line, unsigned column, const char *key,
                 const char *format, ...) PRINTF_LIKE(5, 6);

/*
 * Foreign text in quotes: cut, escaped, on one line. A value that may carry a password (a URL with
 * user information) is not shown.
 */
#define PROBLEM_QUOTE_MAX 400
const char *problem_quote(struct span text, char quoted[PROBLEM_QUOTE_MAX]);

/* Sort by position and hand over to report; problems is empty again. 0 where there were none. */
int problems_take(struct problems *problems, struct config_report *report);

#endif
