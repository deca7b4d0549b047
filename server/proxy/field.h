/*
 * field: header fields as the proxy handles them (RFC 9110 section 5).
 */
#ifndef SERVER_PROXY_FIELD_H
#define SERVER_PROXY_FIELD_H

#include <stdint.h>

#include "common/attr.h"
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

/*
 * Room for the fields of one message at a time, used again for the next. All zero is an empty one.
 * It says of which message they are, so that nobody takes another's for his own.
 */
struct field_list {
    struct field *items;
    size_t count;
    size_t room;
    uint64_t owner; /* the number of the message whose fields these are, all of them; 0: nobody's */
};

/* Forget what is in it and whose that was; keep the memory. */
void field_list_clear(struct field_list *list);

/* Add a field, its value trimmed. The bytes stay the caller's. False without memory. */
bool field_list_add(struct field_list *list, struct span name, struct span value) MUST_CHECK;

/* Free the memory; leaves it empty. */
void field_list_done(struct field_list *list);

/* What is in it. Lives until the list is changed. */
static inline struct fields field_list_all(const struct field_list *list) {
    return (struct fields){list->items, list->count};
}

#endif
