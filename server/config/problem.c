#include "server/config/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/utf8.h"

#define TEXT_MAX 2048
#define SHOWN_MAX 64 /* bytes of foreign text; six times that where all is escaped */

void problem_add(struct problems *problems, unsigned line, unsigned column, const char *key,
                 const char *format, ...) {
    char text[TEXT_MAX];
    size_t len = 0;

    if (problems->count > PROBLEMS_MAX) return;
    if (problems->variables && line) key = problems->variables[line - 1];
    if (key) len = (size_t)snprintf(text, sizeof text, "%s: ", key);
    va_list args;
    va_start(args, format);
    vsnprintf(text + len, sizeof text - len, format, args);
    va_end(args);
    if (problems->count == PROBLEMS_MAX)
        snprintf(text, sizeof text, "more than %d problems; the others are not listed",
                 PROBLEMS_MAX);

    struct config_problem *items =
        reallocarray(problems->items, problems->count + 1, sizeof *problems->items);
    if (items) problems->items = items;
    char *copy = items ? strdup(text) : NULL;
    if (!copy) {
        problems->out_of_memory = true;
        return;
    }
    items[problems->count++] = (struct config_problem){line, column, copy};
}

const char *problem_quote(struct span text, char quoted[PROBLEM_QUOTE_MAX]) {
    size_t shown = 0;

    if (memmem(text.ptr, text.len, "://", 3) && span_find(text, '@') < text.len)
        return "the value (not shown)";
    while (shown < text.len && shown < SHOWN_MAX) {
        size_t width = utf8_width(span_from(text, shown));
        shown += width ? width : 1;
    }

    struct buf buf = buf_make(PROBLEM_QUOTE_MAX);
    buf_add_json(&buf, span_until(text, shown));
    snprintf(quoted, PROBLEM_QUOTE_MAX, "%s%s", buf.data ? buf.data : "",
             shown < text.len ? "..." : "");
    buf_done(&buf);
    return quoted;
}

/* qsort() is not stable: problems at one position keep their order by their texts. */
static int compare(const void *a, const void *b) {
    const struct config_problem *x = a, *y = b;
    if (x->line != y->line) return x->line < y->line ? -1 : 1;
    if (x->column != y->column) return x->column < y->column ? -1 : 1;
    return strcmp(x->text, y->text);
}

int problems_take(struct problems *problems, struct config_report *report) {
    if (problems->count) qsort(problems->items, problems->count, sizeof *problems->items, compare);
    for (size_t i = 0; problems->variables && i < problems->count; i++)
        problems->items[i].line = problems->items[i].column = 0;

    *report = (struct config_report){problems->items, problems->count};
    int r = problems->out_of_memory ? ERR_MEMORY : problems->count ? ERR_SYNTAX : 0;
    *problems = (struct problems){0};
    return r;
}
