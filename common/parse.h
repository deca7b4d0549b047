/*
 * parse: small values in the spellings that people write in configuration.
 */
#ifndef COMMON_PARSE_H
#define COMMON_PARSE_H

#include <stdint.h>

#include "common/attr.h"
#include "common/span.h"

/* Decimal digits only, no sign, no space. ERR_SYNTAX, or ERR_LIMIT above max. */
int parse_u64(struct span text, uint64_t max, uint64_t *ret) MUST_CHECK;

/* "500ms", "10s", "5m", "1h", "2d", or "0". In milliseconds. ERR_SYNTAX or ERR_LIMIT. */
int parse_duration(struct span text, int64_t *ret_ms) MUST_CHECK;

/* "100B", "32KiB", "1MiB", or "0". In bytes. ERR_SYNTAX or ERR_LIMIT. */
int parse_size(struct span text, uint64_t *ret_bytes) MUST_CHECK;

#endif
