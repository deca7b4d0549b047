/*
 * admin_guard: may this request come from a web page in a browser on this machine? Its owner is not
 * who may use the admin listener.
 */
#ifndef SERVER_ANSWER_ADMIN_GUARD_H
#define SERVER_ANSWER_ADMIN_GUARD_H

#include "server/answer/admin.h"

/*
 * Refused: a Host that is neither localhost nor a loopback address, for a page whose name is made
 * to lead here after it was loaded (DNS rebinding) sends its own; nobody's name leads to a unix
 * socket. Where the request changes something, also any Origin but this listener's, and a
 * Sec-Fetch-Site that says the request comes from elsewhere (CSRF): browsers send them, and pages
 * cannot take them away. On false refusal is set.
 */
bool admin_guard_passes(const struct admin_request *request, bool changes,
                        struct refusal *refusal) MUST_CHECK;

#endif
