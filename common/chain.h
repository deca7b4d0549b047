/*
 * chain: the certificates that a TLS server has shown and what their verification said, as words
 * for a person. It looks on; it decides nothing.
 */
#ifndef COMMON_CHAIN_H
#define COMMON_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHAIN_NAME_MAX 200
#define CHAIN_NAMES_MAX 400
#define CHAIN_LINKS_MAX 8

enum chain_fault {
    CHAIN_FINE,
    CHAIN_EXPIRED,
    CHAIN_NOT_YET_VALID,
    CHAIN_SELF_SIGNED,    /* the server's own certificate, and not trusted */
    CHAIN_UNKNOWN_ROOT,   /* the chain ends in a root that is not trusted */
    CHAIN_UNKNOWN_ISSUER, /* the issuer of the last certificate was neither shown nor is trusted */
    CHAIN_WRONG_HOST,     /* good, but for another name; libcurl sees to that, not OpenSSL */
    CHAIN_OTHER,
};

/* One certificate. Names are as RFC 4514 has them, "CN=R3,O=Example,C=US", in printable ASCII. */
struct chain_link {
    char subject[CHAIN_NAME_MAX];
    char issuer[CHAIN_NAME_MAX];
    int64_t from; /* wall seconds */
    int64_t until;
};

struct chain {
    char version[16]; /* of TLS: "TLSv1.3"; "" = no certificate has come */
    enum chain_fault fault;
    char words[100]; /* OpenSSL's, about the fault; "" = none */
    size_t at;       /* the link that the fault was found at; below count unless that is 0 */
    struct chain_link links[CHAIN_LINKS_MAX]; /* the server's own first, then towards the root */
    size_t count;
    size_t shown;                /* how many the server sent */
    char names[CHAIN_NAMES_MAX]; /* the names that the first is for: "a.example, 10.0.0.1" */
    bool tells_issuer; /* the last link says where its issuer can be had (RFC 5280 4.2.2.1) */
};

/*
 * Fill chain, which must outlive the handshakes of ssl_context (an SSL_CTX), at each of them.
 * Verification is OpenSSL's own, with its result unchanged.
 */
void chain_watch(void *ssl_context, struct chain *chain);

#endif
