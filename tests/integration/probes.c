#include "tests/integration/probes.h"

#include <check.h>
#include <stdlib.h>

#include "common/attr.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define PROBES 215
#define HEAD "Host: localhost:8080\r\n"
#define GET "GET / HTTP/1.1\r\n" HEAD
#define POST "POST / HTTP/1.1\r\n" HEAD

/* --- bytes that the collection describes only ------------------------------------------------ */

/* The collection abbreviates long ones ("AAAA...") and leaves out those of several steps. */
static const struct {
    const char *id;
    struct span before;
    const char *piece;
    int count;
    const char *behind;
} described[] = {
#define ALL(text) SPAN_LITERAL(text), "", 0, ""
    {"CAP-ETAG-304", ALL(GET "If-None-Match: \"x\"\r\n\r\n")},
    {"CAP-ETAG-IN-304", ALL(GET "If-None-Match: \"x\"\r\n\r\n")},
    {"CAP-ETAG-WEAK", ALL(GET "If-None-Match: W/\"x\"\r\n\r\n")},
    {"CAP-IMS-FUTURE", ALL(GET "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n\r\n")},
    {"CAP-IMS-INVALID", ALL(GET "If-Modified-Since: not-a-date\r\n\r\n")},
    {"CAP-INM-PRECEDENCE", ALL(GET "If-None-Match: \"x\"\r\n"
                                   "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n")},
    {"CAP-INM-UNQUOTED", ALL(GET "If-None-Match: x\r\n\r\n")},
    {"CAP-INM-WILDCARD", ALL(GET "If-None-Match: *\r\n\r\n")},
    {"CAP-LAST-MODIFIED-304", ALL(GET "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n")},
    {"COMP-DATE-FORMAT", ALL(GET "\r\n")},
    {"MAL-BINARY-GARBAGE", ALL("\x80\xff\x00\x01\x7f\r\n\xfe\xed\xfa\xce\r\n\r\n")},
    {"MAL-EMPTY-REQUEST", ALL("")},
    {"SMUG-CLTE-CONN-CLOSE",
     ALL(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" GET "\r\n")},
    {"SMUG-CLTE-DESYNC",
     ALL(POST "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX" GET "\r\n")},
    {"SMUG-GET-CL-PREFIX-DESYNC", ALL(GET "Content-Length: 31\r\n\r\n" GET "\r\n" GET "\r\n")},
    {"SMUG-PIPELINE-SAFE", ALL(GET "\r\n" GET "\r\n")},
    {"SMUG-TECL-CONN-CLOSE",
     ALL(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" GET "\r\n")},
    {"SMUG-TECL-DESYNC",
     ALL(POST "Transfer-Encoding: chunked\r\nContent-Length: 30\r\n\r\n0\r\n\r\nX" GET "\r\n")},
#undef ALL
#define LONG(text, piece, count, behind) SPAN_LITERAL(text), piece, count, behind
    {"COMP-LONG-URL-OK", LONG("GET /", "a", 7900, " HTTP/1.1\r\n" HEAD "\r\n")},
    {"COOK-MANY-PAIRS", LONG(GET "Cookie: k=v", "; k=v", 999, "\r\n\r\n")},
    {"COOK-OVERSIZED", LONG(GET "Cookie: big=", "A", 65536, "\r\n\r\n")},
    {"MAL-CHUNK-EXT-64K",
     LONG(POST "Transfer-Encoding: chunked\r\n\r\n5;ext=", "a", 65536, "\r\nhello\r\n0\r\n\r\n")},
    {"MAL-LONG-HEADER-NAME", LONG(GET, "A", 100000, ": val\r\n\r\n")},
    {"MAL-LONG-HEADER-VALUE", LONG(GET "X-Big: ", "B", 100000, "\r\n\r\n")},
    {"MAL-LONG-METHOD", LONG("", "A", 100000, " / HTTP/1.1\r\n" HEAD "\r\n")},
    {"MAL-LONG-URL", LONG("GET /", "A", 100000, " HTTP/1.1\r\n" HEAD "\r\n")},
    {"MAL-MANY-HEADERS", LONG(GET, "X-H-1: value\r\n", 10000, "\r\n")},
    {"MAL-RANGE-OVERLAPPING` (unscored)", LONG(GET "Range: bytes=0-", ",0-", 999, "\r\n\r\n")},
    {"SMUG-CL-LEADING-ZEROS-OCTAL", LONG(POST "Content-Length: 0200\r\n\r\n", "A", 200, "")},
#undef LONG
};

static bool add_described(const char *id, struct buf *out) {
    for (size_t i = 0; i < ARRAY_LEN(described); i++) {
        if (strcmp(described[i].id, id) != 0) continue;
        buf_add(out, described[i].before);
        for (int n = 0; n < described[i].count; n++) buf_add_text(out, described[i].piece);
        buf_add_text(out, described[i].behind);
        return true;
    }
    return false;
}

/* JSON has the bytes as the characters of the same numbers, NUL among them. */
static void add_latin_1(const json_t *text, struct buf *out) {
    const unsigned char *utf8 = (const unsigned char *)json_string_value(text);
    size_t len = json_string_length(text);
    for (size_t i = 0; i < len; i++) {
        unsigned c = utf8[i];
        if (c >= 0x80) {
            ck_assert_msg((c & 0xfc) == 0xc0 && i + 1 < len, "not latin-1: %s", utf8);
            c = (c & 3) << 6 | (utf8[++i] & 0x3f);
        }
        buf_add_char(out, (char)c);
    }
}

/* --- the collection -------------------------------------------------------------------------- */

const char *probe_id(const json_t *probe) {
    return json_string_value(json_object_get(probe, "id")) + strlen("probe/");
}

struct span probe_bytes(const json_t *probe, struct buf *out) {
    const char *id = probe_id(probe);
    buf_reset(out);
    const json_t *raw = json_object_get(probe, "raw");
    if (!add_described(id, out)) {
        ck_assert_msg(json_is_string(raw), "%s has no bytes", id);
        add_latin_1(raw, out);
    }
    ck_assert(buf_ok(out));
    return buf_span(out);
}

json_t *probes_load(void) {
    char *path = scratch_text("%s/http/http11probe.json", test_vectors());
    json_t *probes = json_load_file(path, JSON_ALLOW_NUL, NULL);
    ck_assert_int_eq((int)json_array_size(probes), PROBES);
    free(path);
    return probes;
}
