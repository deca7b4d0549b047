/*
 * observed: a daemon with an admin listener, its keys from an issuer that the test runs, and what
 * the admin listener tells about it.
 */
#ifndef TESTS_INTEGRATION_OBSERVED_H
#define TESTS_INTEGRATION_OBSERVED_H

#include <jansson.h>

#include "tests/support/daemon.h"
#include "tests/support/issuer.h"
#include "tests/support/scene.h"

#define OBSERVED_SLOW (SCENE_SANITIZED ? 4 : 1)
#define OBSERVED_WAIT_MS (5000 * OBSERVED_SLOW)
#define OBSERVED_KID "k1"

/* NULL leaves a part at what is said here. */
struct observed_options {
    int workers;        /* 4 */
    const char *issuer; /* further keys of the issuer: ", leeway: 0" */
    const char *rest;   /* further lines of the configuration */
    bool no_keys; /* the issuer has none at first, and nobody waits until the daemon is ready */
    const char *const *environment;
};

struct observed {
    struct issuer *issuer;
    struct daemon *daemon;
    int admin;   /* port */
    char *token; /* good: alice@example.com, scopes openid, profile and email */
};

/* Start issuer and daemon, and wait until it is ready. observed_end() stops both, frees all, and
 * the test fails unless the daemon ends well. */
struct observed observed_start(const struct observed_options *options);
void observed_end(struct observed *observed);

/* Let the issuer have its key. */
void observed_give_keys(const struct observed *observed);

/* Another configuration, and SIGHUP. Returns whether it was taken, once the daemon said so. */
bool observed_reload(const struct observed *observed, const struct observed_options *options);

/* A good token with these claims changed (see mint_claims()). The caller frees it. */
char *observed_token(const struct observed *observed, const char *changes);

/*
 * Send a request on a connection of its own to that port and read the answer; of what it asks the
 * status. headers are whole lines, Host included. ret may be NULL. The test fails where no answer
 * comes.
 */
int observed_ask(int port, const char *method, const char *target, const char *headers,
                 struct response *ret);

/* GET from the admin listener, as localhost, which must be answered with that status: its body,
 * which the caller frees. */
char *observed_get(const struct observed *observed, const char *target, int status);

/* The same, parsed: one JSON value without a member twice. The caller drops it. */
json_t *observed_json(const struct observed *observed, const char *target, int status);

/* Send one request for the path on the public listener with that token (NULL: none). It must get
 * that status. */
void observed_request(const struct observed *observed, const char *path, const char *token,
                      int status);

/* The value of a series, "name{label="value"}", in the text of metrics. The test fails where it is
 * not there, or is there twice. */
double observed_value(const char *metrics, const char *series);

/* observed_value() of the metrics as they are now; and wait until it is this one. */
double observed_metric(const struct observed *observed, const char *series);
void observed_await(const struct observed *observed, const char *series, double value);

/*
 * All series whose name begins so and whose value is not 0, one a line, in the order of the text.
 * The caller frees it. And wait until that is what is expected: a request to an upstream is counted
 * only when it is over, which may be after its client has the answer.
 */
char *observed_counted(const char *metrics, const char *prefix);
void observed_await_counted(const struct observed *observed, const char *prefix,
                            const char *expected);

#endif
