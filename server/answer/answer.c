#include "server/answer/answer.h"

struct answer answer_make(unsigned status) {
    return (struct answer){.status = status,
                           .content_type = "application/json",
                           .body = buf_make(ANSWER_BODY_MAX),
                           .challenge = buf_make(ANSWER_HEADER_MAX),
                           .allow = buf_make(ANSWER_HEADER_MAX),
                           .headers = buf_make(ANSWER_LINES_MAX),
                           .request_id = buf_make(ANSWER_HEADER_MAX)};
}

void answer_done(struct answer *answer) {
    buf_done(&answer->body);
    buf_done(&answer->challenge);
    buf_done(&answer->allow);
    buf_done(&answer->headers);
    buf_done(&answer->request_id);
}

bool answer_ok(const struct answer *answer) {
    return buf_ok(&answer->body) && buf_ok(&answer->challenge) && buf_ok(&answer->allow) &&
           buf_ok(&answer->headers) && buf_ok(&answer->request_id);
}
