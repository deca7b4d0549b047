/*
 * json_value: values that claims are compared with. What YAML writes with quotes is a text; without
 * them 5 is a number and true is true.
 */
#ifndef SERVER_CONFIG_JSON_VALUE_H
#define SERVER_CONFIG_JSON_VALUE_H

#include <stdbool.h>

#include "common/span.h"

/* Is text a number by the grammar of JSON (RFC 8259 section 6), and of a size that jansson reads?
 */
bool json_value_is_number(struct span text);

/*
 * The value as a JSON text: "it" with its quotes, 5, true. plain: it was written without quotes.
 * The caller frees it; NULL without memory.
 */
char *json_value_make(struct span text, bool plain);

#endif
