/*
 * probes: the collection of third-party vectors that probe how a server reads HTTP/1.1.
 */
#ifndef TESTS_INTEGRATION_PROBES_H
#define TESTS_INTEGRATION_PROBES_H

#include <jansson.h>

#include "common/buf.h"

#define PROBE_MAX ((size_t)1 << 20)

/* All of them, an array for json_decref(); or the test is skipped where the vectors are absent. */
json_t *probes_load(void);

/* What the collection calls it. Lives as long as the probe. */
const char *probe_id(const json_t *probe);

/* The bytes to send, written to out, whose ceiling is PROBE_MAX; what it held before is dropped. */
struct span probe_bytes(const json_t *probe, struct buf *out);

#endif
