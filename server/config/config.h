/*
 * config: everything the operator decided, checked, as plain data that never changes.
 *
 * Made by config_load() or config_from_environment(); shared by reference count and freed with the
 * last one. Strings are never NULL unless said so; "" means not set. Times are in milliseconds,
 * sizes in bytes. What each option means to its user stands in schema.c, once, and from there in
 * conf/bearerd.yaml and in the error texts.
 */
#ifndef SERVER_CONFIG_CONFIG_H
#define SERVER_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/err.h"
#include "common/log.h"
#include "common/ref.h"
#include "server/config/algorithm.h"

struct strings {
    char **items;
    size_t count;
};

struct config_listen {
    char *address;         /* host:port, [v6]:port, unix:PATH or systemd:NAME */
    char *tls_certificate; /* both or neither */
    char *tls_private_key;
};

struct config_limits {
    uint64_t header;
    uint64_t token;
    int64_t header_timeout;
    int64_t idle_timeout;
    uint64_t connections;
    uint64_t connections_per_address; /* 0 = no limit */
    int64_t drain_timeout;
};

struct config_fetch {
    char *ca_file;
    char *proxy;
    char *no_proxy;
    int64_t connect_timeout;
    int64_t timeout;
    uint64_t max_body;
};

enum token_type { TOKEN_TYPE_ANY, TOKEN_TYPE_AT_JWT };

struct config_issuer {
    char *issuer; /* compared exactly with iss */
    struct strings audiences;
    bool allow_any_audience;
    algorithm_set algorithms;
    char *discovery; /* the full URL, filled in where not configured; "" if jwks_* is set */
    char *jwks_uri;
    char *jwks_file;
    bool insecure_http;
    int64_t refresh_interval;
    int64_t refresh_cooldown;
    int64_t max_stale;
    int64_t leeway;
    int64_t max_lifetime; /* 0 = no limit */
    enum token_type token_type;
    struct strings scopes;
    struct strings user_claims;
    struct strings scope_claims;
    struct strings role_claims;
};

enum balance { BALANCE_ROUND_ROBIN, BALANCE_LEAST_CONNECTIONS };
enum host_header { HOST_CLIENT, HOST_TARGET };

struct config_upstream {
    char *name;
    struct strings targets; /* as upstream_target_parse() reads them */
    enum balance balance;
    enum host_header host;
    struct config_upstream_tls { /* for https targets */
        char *ca_file;
        char *certificate; /* both or neither */
        char *private_key;
        char *server_name; /* "" = the target's host */
    } tls;
    struct config_timeouts {
        int64_t connect; /* TLS included */
        int64_t first_byte;
        int64_t between_bytes;
        int64_t total; /* 0 = no limit */
    } timeouts;
    struct config_keep_alive {
        uint64_t connections; /* idle ones, in each worker, to each target; 0 = none are kept */
        int64_t idle_timeout;
    } keep_alive;
    struct config_health {
        uint64_t max_fails; /* 0 = requests that fail never count */
        int64_t retry_after;
        char *path; /* "" = no active checks */
        int64_t interval;
        int64_t timeout;
        uint64_t unhealthy_after; /* checks in a row */
        uint64_t healthy_after;
    } health;
    bool assertion; /* send a signed assertion about the caller */
};

/* What an identity header tells. */
enum identity {
    IDENTITY_USER,
    IDENTITY_SUBJECT,
    IDENTITY_ISSUER,
    IDENTITY_SCOPES,
    IDENTITY_ROLES,
    IDENTITY_CLAIM,
};

struct config_identity_header {
    char *header;
    char *value; /* as identity_parse() of config/values.h reads it: "user", "claim:tenant.id" */
};

struct config_assertion {
    char *header;
    char *private_key; /* PEM file; "" = one is made and kept in state_directory */
    char *issuer;
    int64_t lifetime;
};

enum respond {
    RESPOND_NONE, /* the route has an upstream */
    RESPOND_IDENTITY,
    RESPOND_PROFILE,
    RESPOND_VERDICT,      /* whether the request is allowed, and no more */
    RESPOND_FORWARD_AUTH, /* whether the request is that another proxy asks about */
};

/* A claim, and what it must be: all that is given here. Values are JSON texts; "" = not given. */
struct config_claim {
    char *name; /* a dot leads into objects */
    char *equals;
    struct strings one_of;
    char *contains; /* a list with that member, or a text with that word */
    enum present { PRESENT_ANYHOW, PRESENT_YES, PRESENT_NO } present;
    char *at_least; /* numbers */
    char *at_most;
};

/* What a token must have: all that is given here. Durations: 0 = not given. */
struct config_requirement {
    struct strings scopes;     /* all of them */
    struct strings any_scopes; /* one of them */
    struct strings roles;
    struct strings any_roles;
    struct config_claim *claims;
    size_t claim_count;
    struct strings issuers;
    struct strings audiences; /* one of them */
    int64_t max_token_age;
    struct strings acr; /* one of them */
    int64_t max_auth_age;
    struct config_requirement *all_of;
    size_t all_of_count;
    struct config_requirement *any_of;
    size_t any_of_count;
    struct config_requirement * not ; /* NULL = not given */
};

/* What becomes of a browser's question whether a script of another origin may send a request. */
enum preflight {
    PREFLIGHT_JUDGE,  /* it is a request as any other */
    PREFLIGHT_PASS,   /* the upstream answers it */
    PREFLIGHT_ANSWER, /* it is answered here */
};

struct config_cors {
    enum preflight preflight;
    struct strings origins;
    struct strings headers;
    int64_t max_age;
};

#define UPSTREAM_NONE SIZE_MAX

struct config_route {
    struct strings hosts;   /* as pattern.h has them, in lower case; none: every host */
    char *path;             /* as pattern.h has it; a trailing "*" was cut off, subtree tells it */
    bool subtree;           /* every path that starts with path */
    struct strings methods; /* none: whatever respond knows, or all for an upstream */
    enum respond respond;
    char *upstream;        /* its name; "" = the route answers itself */
    size_t upstream_index; /* in config.upstreams; UPSTREAM_NONE. Filled in after loading */
    bool forward_token;    /* the upstream gets the Authorization header */
    char *strip_prefix;    /* taken off the path that is forwarded; "" = nothing */
    char *add_prefix;      /* put before it then; "" = nothing */
    bool close_at_expiry;  /* streams end when the token does that opened them */
    bool anonymous;        /* a request without credentials is let through */
    bool report_only;      /* who lacks what is required is let through, and logged */
    struct config_cors cors;
    struct config_requirement require;
};

/* A name for scopes: whoever has the role has them, and whoever has them all has the role. */
struct config_role {
    char *name;
    struct strings scopes;
};

/* What a client that knows nothing may find out about a protected resource (RFC 9728). */
struct config_resource {
    char *resource; /* its URL */
    char *name;
    char *documentation;                  /* URL */
    struct strings scopes;                /* that it is good to ask for */
    struct strings authorization_servers; /* none: every issuer */
};

struct config_log {
    enum log_format format;
    enum log_level level;
    bool access;
};

struct config {
    struct ref ref;
    char *source; /* file name, or "environment" */
    struct config_listen *listen;
    size_t listen_count;
    unsigned workers;      /* never 0 here: one per CPU was filled in */
    char *state_directory; /* "" = keep no disk copy */
    char *deny_list;       /* file; "" = none */
    char *realm;
    char *admin_address;                      /* "" = no admin listener */
    struct config_requirement *admin_require; /* NULL: whoever reaches it may use it */
    struct config_limits limits;
    struct strings trusted_proxies; /* as cidr_parse() reads them */
    uint64_t token_cache_entries;   /* in all workers together; 0 = no cache */
    struct config_fetch fetch;
    struct config_issuer *issuers;
    size_t issuer_count;
    struct config_upstream *upstreams;
    size_t upstream_count;
    struct config_identity_header *identity_headers;
    size_t identity_header_count;
    struct config_assertion assertion;
    struct config_role *roles;
    size_t role_count;
    struct config_resource *resources;
    size_t resource_count;
    struct config_route *routes;
    size_t route_count;
    struct config_log log;
};

/* One thing wrong with a configuration: where, what, and what would be right. */
struct config_problem {
    unsigned line; /* from 1; 0 where the file as a whole or the environment is meant */
    unsigned column;
    char *text;
};

struct config_report {
    struct config_problem *problems; /* in the order of the file */
    size_t count;
};

/*
 * Read and check a YAML file. On success *ret holds one reference and the report is empty.
 * Otherwise returns a negative ERR_* and the report names every problem found in this one run. Does
 * file I/O: not for workers. The caller frees the report with config_report_done() in both cases.
 */
int config_load(const char *path, struct config **ret, struct config_report *report) MUST_CHECK;

/* The same for text in memory; source is the name that problems are printed with. */
int config_parse(struct span text, const char *source, struct config **ret,
                 struct config_report *report) MUST_CHECK;

/*
 * The configuration for a start without a file: OIDC_ISSUER and OIDC_AUDIENCE (one or several,
 * separated by spaces), and where they are set OIDC_SCOPES (every token must carry them; openid
 * where not set), BEARERD_LISTEN and BEARERD_ADMIN. The log is text; all else is the default. Same
 * contract as config_load(); each problem names its variable.
 */
int config_from_environment(struct config **ret, struct config_report *report) MUST_CHECK;

/* Print each problem as "source:line:column: text" (source: text, where line is 0), one a line. */
void config_report_print(const struct config_report *report, const char *source, FILE *out);
void config_report_done(struct config_report *report);

/* Any thread: take one more reference; drop one, the last frees (NULL is fine). */
struct config *config_ref(struct config *config);
void config_unref(struct config *config);
CLEANUP_DEFINE(struct config *, config_unref)

/* Write conf/bearerd.yaml: every option with its help, at its default. Returns 0 or ERR_SYSTEM. */
int config_write_example(FILE *out) MUST_CHECK;

/* Do two issuer entries fetch the same keys from the same place, so that keys may be kept? */
bool config_issuer_same_source(const struct config_issuer *a, const struct config_issuer *b);

#endif
