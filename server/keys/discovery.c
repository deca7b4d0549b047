#include "server/keys/discovery.h"

#include "common/json.h"
#include "common/url.h"

/* Without the slashes at its end. */
static struct span without_slashes(struct span text) {
    while (text.len && text.ptr[text.len - 1] == '/') text.len--;
    return text;
}

const char *issuer_near_miss(struct span configured, struct span found) {
    static const struct span okta_custom = SPAN_LITERAL("/oauth2/default");
    struct span a = without_slashes(configured), b = without_slashes(found);

    if (a.len == 0 || b.len == 0) return "";
    if (span_equal(a, b)) return "only a slash at the end differs";
    if (span_equal_nocase(a, b)) return "only upper and lower case differ";

    struct span longer = a.len > b.len ? a : b, shorter = a.len > b.len ? b : a;
    if (span_starts_with(longer, shorter) &&
        span_equal(span_from(longer, shorter.len), okta_custom))
        return "one is the organization's server, the other its custom server /oauth2/default";
    if (longer.len == shorter.len + 1 && span_starts_with(longer, SPAN_LITERAL("https://")) &&
        span_starts_with(shorter, SPAN_LITERAL("http://")) &&
        span_equal(span_from(longer, 8), span_from(shorter, 7)))
        return "one is http, the other https";
    return "";
}

bool issuer_allows_http(const struct config_issuer *issuer, const char *text) {
    struct url url, own;
    if (issuer->insecure_http) return true;
    if (url_parse(span_of(text), &url, NULL) < 0 || !url_is_loopback(&url)) return false;
    /* What the operator wrote is what he wants. */
    if (strcmp(text, issuer->jwks_uri) == 0 || strcmp(text, issuer->discovery) == 0) return true;
    /* An https issuer that points to an http key set has been tampered with, loopback or not. */
    return url_parse(span_of(issuer->issuer), &own, NULL) < 0 || !own.https;
}

static int check_issuer(const json_t *root, const struct config_issuer *issuer,
                        struct err_text *err) {
    struct span found;
    if (json_find_string(root, "issuer", &found) != JSON_FOUND)
        return err_set(err, ERR_SYNTAX, "has no \"issuer\" that is a string");
    if (span_equal_text(found, issuer->issuer)) return 0;

    const char *hint = issuer_near_miss(span_of(issuer->issuer), found);
    return err_set(err, ERR_SYNTAX,
                   "names the issuer \"%.200s\" where \"%.200s\" is configured%s%s; they must be "
                   "equal to the letter",
                   found.ptr, issuer->issuer, *hint ? ": " : "", hint);
}

int discovery_parse(struct span document, const struct config_issuer *issuer, char **ret_jwks_uri,
                    struct err_text *err) {
    CLEANUP(json_decrefp) json_t *root = NULL;
    struct err_text why;
    struct span uri;
    struct url url;

    int r = json_read_object(document, &root, err);
    if (r < 0) return r;
    if ((r = check_issuer(root, issuer, err)) < 0) return r;
    if (json_find_string(root, "jwks_uri", &uri) != JSON_FOUND)
        return err_set(err, ERR_SYNTAX, "has no \"jwks_uri\" that is a string");
    if (url_parse(uri, &url, &why) < 0)
        return err_set(err, ERR_SYNTAX, "has a \"jwks_uri\" that %s", why.text);
    if (!url.https && !issuer_allows_http(issuer, uri.ptr))
        return err_set(err, ERR_SYNTAX,
                       "has the \"jwks_uri\" \"%.200s\", which is not https; insecure_http: true "
                       "would allow it",
                       uri.ptr);

    *ret_jwks_uri = strndup(uri.ptr, uri.len);
    return *ret_jwks_uri ? 0 : err_set(err, ERR_MEMORY, "could not be read: out of memory");
}
