/*
 * discovery: a jwks_uri is taken only from a document of exactly this issuer, and only where it may
 * be fetched; what is refused says why.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/url.h"
#include "server/keys/discovery.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool truth) {
    if (!truth) abort();
}

static void check_accepted(struct span document, const struct config_issuer *issuer,
                           const char *uri) {
    json_t *root = NULL;
    struct span named;
    struct url url;

    demand(json_read_object(document, &root, NULL) == 0);
    demand(json_find_string(root, "issuer", &named) == JSON_FOUND);
    demand(span_equal_text(named, issuer->issuer));
    demand(json_find_string(root, "jwks_uri", &named) == JSON_FOUND);
    demand(span_equal_text(named, uri));
    demand(url_parse(span_of(uri), &url, NULL) == 0);
    if (!url.https && !issuer->insecure_http)
        demand(url_is_loopback(&url) && strncmp(issuer->issuer, "https:", 6) != 0);
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char secure[] = "https://i.example", local[] = "http://127.0.0.1:9000", none[] = "";
    static const struct config_issuer issuers[] = {
        {.issuer = secure, .discovery = none, .jwks_uri = none},
        {.issuer = secure, .discovery = none, .jwks_uri = none, .insecure_http = true},
        {.issuer = local, .discovery = none, .jwks_uri = none}};
    struct span document = {(const char *)data, size};

    for (size_t i = 0; i < ARRAY_LEN(issuers); i++) {
        struct err_text err = {""};
        char *uri = NULL;
        int r = discovery_parse(document, &issuers[i], &uri, &err);
        if (r == 0)
            check_accepted(document, &issuers[i], uri);
        else
            demand((r == ERR_SYNTAX || r == ERR_LIMIT || r == ERR_MEMORY) && err.text[0] && !uri);
        free(uri);
    }
    demand(*issuer_near_miss(document, document) == '\0' || size > 0);
    return 0;
}
