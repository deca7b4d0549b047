#include "server/explain/reasons.h"

#include "server/answer/problem.h"
#include "server/config/nearest.h"
#include "server/explain/advice.h"

enum reason reasons_find(const char *name, const char **ret_near) {
    struct nearest nearest = nearest_make(span_of(name));

    for (enum reason reason = 0; reason < REASON_COUNT; reason++) {
        if (strcmp(reason_name(reason), name) == 0) return reason;
        nearest_try(&nearest, span_of(reason_name(reason)));
    }
    *ret_near = nearest.best.ptr;
    return REASON_COUNT;
}

static void write_object(enum reason reason, struct buf *out) {
    buf_addf(out,
             "{\"reason\":\"%s\",\"status\":%u,\"error\":\"%s\",\"meaning\":", reason_name(reason),
             problem_status(reason), problem_error(reason));
    buf_add_json(out, span_of(advice_meaning(reason)));
    buf_add_text(out, ",\"advice\":");
    buf_add_json(out, span_of(advice_for(reason)));
    buf_add_char(out, '}');
}

void reasons_write(enum reason reason, bool json, struct buf *out) {
    if (json) {
        write_object(reason, out);
        buf_add_char(out, '\n');
        return;
    }
    buf_addf(out, "%s: answered by %u, error %s\n%s\n\nto change: %s\n", reason_name(reason),
             problem_status(reason), problem_error(reason), advice_meaning(reason),
             advice_for(reason));
}

void reasons_write_all(bool json, struct buf *out) {
    for (enum reason reason = 0; reason < REASON_COUNT; reason++) {
        if (json) {
            buf_add_char(out, reason ? ',' : '[');
            write_object(reason, out);
            continue;
        }
        buf_addf(out, "%-22s %u  %s\n", reason_name(reason), problem_status(reason),
                 advice_meaning(reason));
    }
    if (json) buf_add_text(out, "]\n");
}
