/*
 * scene: what most tests of the server begin with. A daemon that knows one key from a file, so that
 * it is ready at once and asks nobody; tokens signed with that key; and checks of its answers.
 */
#ifndef TESTS_SUPPORT_SCENE_H
#define TESTS_SUPPORT_SCENE_H

#include "tests/support/daemon.h"

/* A sanitizer makes programs slower and larger; times and sizes are then not what is tested. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SCENE_SANITIZED 1
#else
#define SCENE_SANITIZED 0
#endif

#define SCENE_ISSUER "https://idp.example"
#define SCENE_KID "k1"

/* What a test changes in the configuration; NULL leaves it at what is said here. */
struct scene_options {
    const char *listen; /* entries besides the one on daemon->port: ", {address: ...}" */
    const char *log;    /* {format: text, level: info, access: false} */
    const char *issuer; /* further keys of the issuer: ", leeway: 0" */
    const char *rest;   /* further lines: "limits: {...}\n" */
    const char *jwks;   /* the JWK set; the scene's one key. At the start only */
    const char *const *environment;
};

struct scene {
    struct daemon *daemon;
    char *token; /* good: alice@example.com, scopes openid, profile and email */
    char *keys;  /* path of the JWK set */
};

/* Start it and wait until the token is accepted. */
struct scene scene_start(const struct scene_options *options);

/* SIGTERM; the test fails unless the daemon ends well. Frees everything. */
void scene_end(struct scene *scene);

/* Another configuration, and SIGHUP. Returns whether it was taken, once the daemon said so. */
bool scene_reload(const struct scene *scene, const struct scene_options *options);

/* The same for the configuration that is there by now, if any. */
bool scene_reload_as_it_stands(const struct scene *scene);

/* The configuration file alone, unread by the daemon so far. */
void scene_configure(const struct scene *scene, const struct scene_options *options);

/* The whole text of the configuration. The caller frees it. */
char *scene_yaml(int port, const char *keys, const struct scene_options *options);

/* A good token with these claims changed (see mint_claims()). The caller frees it. */
char *scene_token(const char *changes);

/* "GET path HTTP/1.1" with Host, these header lines and the empty line. The caller frees it. */
char *scene_get(const char *path, const char *headers);

/* What is expected of an answer. */
struct expected {
    int status;
    const char *challenge; /* the whole WWW-Authenticate; NULL: there is none */
    const char *body;      /* NULL: any */
    bool close;            /* the connection is closed behind it, and stays open otherwise */
};

/* Send request on client and check its answer, which also must say Cache-Control: no-store. */
void scene_check(struct client *client, struct span request, const struct expected *expected);

/* The same on a connection of its own; and then that another one is served. */
void scene_check_alone(const struct scene *scene, struct span request,
                       const struct expected *expected);

/* A new connection is served. what names the case in the failure. */
void scene_check_serves(const struct scene *scene, const char *what);

/* A plain connection to the daemon, for what the client cannot do. The caller closes it. */
int scene_connect(const struct scene *scene);

/*
 * Everything that comes back for these bytes on a connection of its own, until the server closes
 * (*ret_closed), sends nothing at all for first_ms, or nothing more for quiet_ms. The caller frees
 * the text.
 */
char *scene_talk(const struct scene *scene, struct span bytes, int first_ms, int quiet_ms,
                 bool *ret_closed);

/*
 * How many answers a client reads in that text: one after the other by their lengths, none behind
 * one that says Connection: close. *ret_status is the status of the first; 0 where there is none.
 * to_head: the first answers a HEAD request. The test fails where an answer is not well formed.
 */
int scene_count_answers(const char *text, bool to_head, int *ret_status);

#endif
