/*
 * field: header fields as the proxy handles them (RFC 9110 section 5).
 */
#ifndef SERVER_PROXY_FIELD_H
#define SERVER_PROXY_FIELD_H

#include "common/span.h"

/* One field line. Borrowed bytes; the value without the white space around it. */
struct field {
    struct span name; /* as it was spelt */
    struct span value;
};

/* Field lines in the order they came. */
struct fields {
    const struct field *items;
    size_t count;
};

#endif
