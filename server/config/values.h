/*
 * values: the kinds of value an option can have, each with its grammar and the words that say what
 * would be right.
 */
#ifndef SERVER_CONFIG_VALUES_H
#define SERVER_CONFIG_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"
#include "server/config/config.h"

struct option;

/* A word that an option may be set to, and the number it is stored as. Ends with word NULL. */
struct choice {
    const char *word;
    int value;
};

struct kind {
    const char *wanted; /* follows "write " */
    bool number;        /* stored as a number; as a text otherwise */
    int (*parse)(const struct option *option, struct span text, uint64_t *ret,
                 struct err_text *why); /* NULL: any text will do */
};

/* A value is stored as the JSON text that json_value_make() makes of it. */
extern const struct kind kind_value;

extern const struct kind kind_text, kind_name, kind_choice, kind_duration, kind_size, kind_count,
    kind_url, kind_issuer, kind_proxy, kind_file, kind_directory, kind_kept_file, kind_address,
    kind_path, kind_method, kind_scope, kind_algorithm, kind_admin, kind_proxies, kind_label,
    kind_target, kind_host, kind_check, kind_prefix, kind_header, kind_identity, kind_vhost,
    kind_number, kind_origin, kind_field, kind_resource, kind_acr;

#define ALGORITHM_NAMES "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA"

/*
 * Read one value of an option. A number kind sets *ret. ERR_SYNTAX with the reason in why, which
 * reads behind the quoted value: "is out of range".
 */
int value_parse(const struct option *option, struct span text, uint64_t *ret,
                struct err_text *why) MUST_CHECK;

/* Is that address, which kind_address takes, one that only this machine reaches? systemd:NAME
 * counts as one: what it stands for is known only when it is opened. */
bool value_is_local(struct span address);

/*
 * What the value of an identity header names: "user", "subject", "issuer", "scopes", "roles", or
 * "claim:NAME", which sets *ret_claim to NAME, within text. ERR_SYNTAX for anything else.
 */
int identity_parse(struct span text, enum identity *ret, struct span *ret_claim) MUST_CHECK;

#endif
