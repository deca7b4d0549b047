/*
 * passage: a scene with a scripted upstream behind it. Paths under /open/ are for everybody; under
 * /lasting/ streams outlive the token that opened them; all others, but /profile/, which bearerd
 * answers itself, need a token.
 */
#ifndef TESTS_INTEGRATION_PASSAGE_H
#define TESTS_INTEGRATION_PASSAGE_H

#include "tests/support/scene.h"
#include "tests/support/upstream.h"

/* What a test adds to the configuration; NULL adds nothing. */
struct passage_options {
    const char *listen;   /* as in struct scene_options */
    const char *issuer;   /* the same */
    const char *upstream; /* further keys of the upstream: ", timeouts: {connect: 1s}" */
    const char *rest;     /* further lines: "limits: {...}\n" */
    bool https;           /* the upstream speaks TLS */
};

struct passage {
    struct scene scene;
    struct upstream *upstream;
};

/* Start both. passage_end() stops both; the test fails unless bearerd ends well. */
struct passage passage_start(const struct passage_options *options);
void passage_end(struct passage *passage);

/* passage_end() where bearerd ends by itself, within that time. */
void passage_wait_end(struct passage *passage, int within_ms);

/* The port of bearerd. */
int passage_port(const struct passage *passage);

/*
 * The head of a request, its empty line included: "METHOD target HTTP/1.1", Host, the scene's token
 * and these header lines. The caller frees it.
 */
char *passage_head(const struct passage *passage, const char *method, const char *target,
                   const char *headers);

/*
 * Bytes of one direction that the system may keep for bearerd and for two ends that do not read,
 * besides what bearerd keeps itself. A test that needs more than most_mib to go beyond that is
 * skipped.
 */
uint64_t passage_under_way_max(unsigned most_mib);

/* The newest request that the upstream got for this path. The test fails where there is none. */
const struct upstream_request *passage_request(const struct passage *passage, const char *path);

#endif
