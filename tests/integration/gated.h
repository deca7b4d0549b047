/*
 * gated: bearerd with one worker in front of upstreams, and what its clients get, byte by byte.
 *
 * One worker, so that connections to upstreams can be counted. Every path but /profile/ goes to the
 * upstream named "up", with a token or without.
 */
#ifndef TESTS_INTEGRATION_GATED_H
#define TESTS_INTEGRATION_GATED_H

#include "tests/support/scene.h"
#include "tests/support/upstream.h"

/* Waiting for what must happen; a sanitizer makes all of it slower. */
#define GATED_SLOW (SCENE_SANITIZED ? 4 : 1)
#define GATED_WAIT_MS (5000 * GATED_SLOW)

/*
 * Start it with the entries of "upstreams" (see gated_entry()) and further lines of the
 * configuration (NULL: none), with a log line for each request. scene_end() ends it.
 */
struct scene gated_start(const char *upstreams, const char *rest);

/* Another configuration, and SIGHUP. Returns whether it was taken, once the daemon said so. */
bool gated_reload(const struct scene *scene, const char *upstreams, const char *rest);

/* "{name: up, targets: [TARGET], OPTIONS}" for this upstream. The caller frees it. */
char *gated_entry(const struct upstream *upstream, const char *options);

/* gated_start() for this one upstream. */
struct scene gated_start_for(const struct upstream *upstream, const char *options);

/* A connection to the daemon. The test fails where it is refused. */
struct client *gated_client(const struct scene *scene);

/* Send "GET path" on client; and the same, and read the answer, which must have this status and,
 * unless that is NULL, this body. */
void gated_ask(struct client *client, const char *path);
void gated_get(struct client *client, const char *path, int status, const char *body);

/*
 * Read an answer that is ours: this status, an error of this name in JSON together with the
 * X-Request-Id of its head.
 */
void gated_check_problem(struct client *client, int status, const char *error);

/* gated_check_problem() of GET path on a connection of its own, and how long that took in ms. */
long gated_fails(const struct scene *scene, const char *path, int status, const char *error);

/* All that came on a connection. */
struct gated_heard {
    char *bytes; /* NUL-terminated; the caller frees them */
    size_t len;
    enum gated_end {
        PROXIED_OPEN, /* it rests, or did not end in time */
        PROXIED_FINISHED,
        PROXIED_RESET,
    } end;
};

/* Send bytes on a connection of its own, whose descriptor gated_hear() takes. */
int gated_say(const struct scene *scene, struct span bytes);

/* Read until the connection ends, or rests behind a whole answer, within GATED_WAIT_MS; and close
 * it. */
struct gated_heard gated_hear(int fd);

/* Both. */
struct gated_heard gated_talk(const struct scene *scene, struct span bytes);

/* Would a client take what it heard for a whole answer, by its chunks, its length or its end (RFC
 * 9112 section 8)? */
bool gated_is_whole(const struct gated_heard *heard);

/* How many descriptors the daemon has open while nothing happens. */
int gated_files(const struct scene *scene);

/* Wait until the daemon has no more descriptors open than that. How many it has then. */
int gated_settled_files(const struct scene *scene, int wanted);

/*
 * Wait until standard error holds text, so many times at least, and fail with all of it where that
 * does not come.
 */
void gated_check_logged(const struct scene *scene, const char *text, int times);
void gated_check_log(const struct scene *scene, const char *text);

/* Hold the daemon still, so that what happens meanwhile comes to it all at once; and let it go on.
 */
void gated_freeze(const struct scene *scene);
void gated_thaw(const struct scene *scene);

/* SIGTERM was sent: wait for the end, with exit code 0, and free everything. */
void gated_ended(struct scene *scene);

#endif
