#include "tests/integration/framing_rows.h"

#include "common/attr.h"

#define S(text) SPAN_LITERAL(text)
#define GET "GET / HTTP/1.1\r\nHost: h\r\n"
#define TAIL FRAMING_TAIL
#define HOST(value) S("GET / HTTP/1.1\r\nHost:" value "\r\n\r\n" TAIL)

/* --- heads ----------------------------------------------------------------------------------- */

static const struct framing_row lengths[] = {
    {"CL+TE", S(GET "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" TAIL)},
    {"TE+CL", S(GET "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" TAIL)},
    {"CL 0+TE", S(GET "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" TAIL)},
    {"two different", S(GET "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" TAIL)},
    {"two the same", S(GET "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" TAIL)},
    {"0 and 5", S(GET "Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello" TAIL)},
    {"5,5", S(GET "Content-Length: 5,5\r\n\r\nhello" TAIL)},
    {"5, 6", S(GET "Content-Length: 5, 6\r\n\r\nhello" TAIL)},
    {"+5", S(GET "Content-Length: +5\r\n\r\nhello" TAIL)},
    {"-0", S(GET "Content-Length: -0\r\n\r\n" TAIL)},
    {"-1", S(GET "Content-Length: -1\r\n\r\n" TAIL)},
    {"0x5", S(GET "Content-Length: 0x5\r\n\r\nhello" TAIL)},
    {"5 5", S(GET "Content-Length: 5 5\r\n\r\nhello" TAIL)},
    {"5;", S(GET "Content-Length: 5;\r\n\r\nhello" TAIL)},
    {"5.0", S(GET "Content-Length: 5.0\r\n\r\nhello" TAIL)},
    {"1e1", S(GET "Content-Length: 1e1\r\n\r\nhello" TAIL)},
    {"empty", S(GET "Content-Length:\r\n\r\n" TAIL)},
    {"blank", S(GET "Content-Length: \t \r\n\r\n" TAIL)},
    {"19 digits", S(GET "Content-Length: 1000000000000000000\r\n\r\n" TAIL)},
    {"non-breaking space", S(GET "Content-Length: \xa0"
                                 "5\r\n\r\nhello" TAIL)},
};

static const struct framing_row too_large[] = {
    {"10^20", S(GET "Content-Length: 100000000000000000000\r\n\r\n" TAIL)},
    {"2^64", S(GET "Content-Length: 18446744073709551616\r\n\r\n" TAIL)},
};

static const struct framing_row codings[] = {
    {"xchunked", S(GET "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" TAIL)},
    {"chunkedx", S(GET "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n" TAIL)},
    {"chunked, identity", S(GET "Transfer-Encoding: chunked, identity\r\n\r\n" TAIL)},
    {"identity, chunked", S(GET "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" TAIL)},
    {"identity", S(GET "Transfer-Encoding: identity\r\n\r\n" TAIL)},
    {"gzip", S(GET "Transfer-Encoding: gzip\r\n\r\n" TAIL)},
    {"gzip, chunked", S(GET "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" TAIL)},
    {"chunked, chunked", S(GET "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" TAIL)},
    {"comma before", S(GET "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n" TAIL)},
    {"comma behind", S(GET "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n" TAIL)},
    {"parameter", S(GET "Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n" TAIL)},
    {"quoted", S(GET "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" TAIL)},
    {"empty", S(GET "Transfer-Encoding:\r\n\r\n0\r\n\r\n" TAIL)},
    {"twice", S(GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "0\r\n\r\n" TAIL)},
    {"twice, other", S(GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n"
                           "0\r\n\r\n" TAIL)},
    {"vertical tab", S(GET "Transfer-Encoding: \x0b"
                           "chunked\r\n\r\n0\r\n\r\n" TAIL)},
    {"form feed", S(GET "Transfer-Encoding: chunked\x0c\r\n\r\n0\r\n\r\n" TAIL)},
    {"NUL", S(GET "Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n" TAIL)},
    {"folded", S(GET "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" TAIL)},
    {"space before colon", S(GET "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" TAIL)},
    {"HTTP/1.0",
     S("GET / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" TAIL)},
};

static const struct framing_row hosts[] = {
    {"none", S("GET / HTTP/1.1\r\n\r\n" TAIL)},
    {"none but X-Host", S("GET / HTTP/1.1\r\nX-Host: h\r\n\r\n" TAIL)},
    {"two", S("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" TAIL)},
    {"two the same", S("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n" TAIL)},
    {"three in HTTP/1.0", S("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\nHost: a\r\n\r\n" TAIL)},
    {"empty", HOST("")},
    {"blank", HOST(" \t ")},
    {"path", HOST(" a/b")},
    {"user", HOST(" u@h")},
    {"list", HOST(" a, b")},
    {"two words", HOST(" a b")},
    {"query", HOST(" a?b")},
    {"fragment", HOST(" a#b")},
    {"backslash", HOST(" a\\b")},
    {"URL", HOST(" http://a")},
    {"port of letters", HOST(" a:b")},
    {"negative port", HOST(" a:-1")},
    {"two ports", HOST(" a:1:2")},
    {"port alone", HOST(" :80")},
    {"IPv6 without brackets", HOST(" ::1")},
    {"IPv6 not closed", HOST(" [::1")},
    {"IPv6 with a tail", HOST(" [::1]x")},
    {"brackets around a name", HOST(" [h*]")},
    {"empty brackets", HOST(" []")},
    {"NUL", HOST(" a\0b")},
    {"not ASCII", HOST(" h\xc3\xa9")},
    {"quotes", HOST(" \"a\"")},
};

static const struct framing_row lines[] = {
    {"bare LF behind the request line", S("GET / HTTP/1.1\nHost: h\r\n\r\n" TAIL)},
    {"bare LF behind a header", S("GET / HTTP/1.1\r\nHost: h\n\r\n" TAIL)},
    {"bare LF between headers", S(GET "A: b\nC: d\r\n\r\n" TAIL)},
    {"bare LF as the empty line", S(GET "\n" TAIL)},
    {"bare LF everywhere", S("GET / HTTP/1.1\nHost: h\n\n" TAIL)},
    {"bare CR in a value", S(GET "A: b\rc\r\n\r\n" TAIL)},
    {"bare CR as a line end", S(GET "A: b\rAuthorization: Bearer x\r\n\r\n" TAIL)},
    {"two CR", S(GET "A: b\r\r\n\r\n" TAIL)},
    {"folded by a space", S(GET "A: b\r\n c\r\n\r\n" TAIL)},
    {"folded by a tab", S(GET "A: b\r\n\tc\r\n\r\n" TAIL)},
    {"folded twice", S(GET "A: b\r\n c\r\n d\r\n\r\n" TAIL)},
    {"folded, empty before", S(GET "A:\r\n c\r\n\r\n" TAIL)},
    {"folded, empty behind", S(GET "A: b\r\n \r\n\r\n" TAIL)},
    {"folded Host", S("GET / HTTP/1.1\r\nHost:\r\n h\r\n\r\n" TAIL)},
    {"space before the first header", S("GET / HTTP/1.1\r\n Host: h\r\n\r\n" TAIL)},
    {"blank line first", S("GET / HTTP/1.1\r\n \r\nHost: h\r\n\r\n" TAIL)},
};

static const struct framing_row names[] = {
    {"no colon", S(GET "AbC\r\n\r\n" TAIL)},
    {"empty", S(GET ": b\r\n\r\n" TAIL)},
    {"space before the colon", S(GET "A : b\r\n\r\n" TAIL)},
    {"tab before the colon", S(GET "A\t: b\r\n\r\n" TAIL)},
    {"space inside", S(GET "A B: c\r\n\r\n" TAIL)},
    {"Host with a space", S("GET / HTTP/1.1\r\nHost : h\r\n\r\n" TAIL)},
    {"brackets", S(GET "A[B]: c\r\n\r\n" TAIL)},
    {"slash", S(GET "A/B: c\r\n\r\n" TAIL)},
    {"quotes", S(GET "\"A\": c\r\n\r\n" TAIL)},
    {"at sign", S(GET "A@B: c\r\n\r\n" TAIL)},
    {"NUL", S(GET "A\0B: c\r\n\r\n" TAIL)},
    {"NUL alone", S(GET "\0: c\r\n\r\n" TAIL)},
    {"control", S(GET "A\x01: c\r\n\r\n" TAIL)},
    {"DEL", S(GET "A\x7f: c\r\n\r\n" TAIL)},
    {"not ASCII", S(GET "\xc3\x84: c\r\n\r\n" TAIL)},
    {"CR inside", S(GET "A\rB: c\r\n\r\n" TAIL)},
};

static const struct framing_row request_lines[] = {
    {"HTTP/0.9", S("GET /\r\n")},
    {"no version", S("GET / \r\nHost: h\r\n\r\n" TAIL)},
    {"no target", S("GET HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"two spaces", S("GET  / HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"two spaces behind", S("GET /  HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"tab", S("GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"tab behind", S("GET /\tHTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"space in the target", S("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"a version too many", S("GET / HTTP/1.1 HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"space behind the version", S("GET / HTTP/1.1 \r\nHost: h\r\n\r\n" TAIL)},
    {"NUL in the target", S("GET /\0x HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"NUL behind the target", S("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"NUL in the query", S("GET /?\0 HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"control in the target", S("GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"method no token", S("G@T / HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"method with NUL", S("G\0T / HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"absolute form", S("GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"absolute form, other host", S("GET http://x/ HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"asterisk", S("GET * HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"OPTIONS *", S("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"CONNECT", S("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"lower case version", S("GET / http/1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"version 1", S("GET / HTTP/1\r\nHost: h\r\n\r\n" TAIL)},
    {"version 1.10", S("GET / HTTP/1.10\r\nHost: h\r\n\r\n" TAIL)},
    {"version 01.1", S("GET / HTTP/01.1\r\nHost: h\r\n\r\n" TAIL)},
    {"version with a space", S("GET / HTTP/ 1.1\r\nHost: h\r\n\r\n" TAIL)},
    {"other protocol", S("GET / ICAP/1.1\r\nHost: h\r\n\r\n" TAIL)},
};

static const struct framing_row versions[] = {
    {"HTTP/2 preface", S("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")},
    {"HTTP/2.0", S("GET / HTTP/2.0\r\nHost: h\r\n\r\n" TAIL)},
    {"HTTP/0.9 in words", S("GET / HTTP/0.9\r\nHost: h\r\n\r\n" TAIL)},
    {"HTTP/9.9", S("GET / HTTP/9.9\r\nHost: h\r\n\r\n" TAIL)},
};
/* --- chunked bodies -------------------------------------------------------------------------- */

static const struct framing_row sound_chunks[] = {
    {"one chunk", S("5\r\nhello\r\n0\r\n\r\n")},
    {"two chunks", S("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")},
    {"zeros before", S("0005\r\nhello\r\n0000\r\n\r\n")},
    {"extension", S("5;a=b\r\nhello\r\n0;c=\"d\"\r\n\r\n")},
    {"trailers", S("5\r\nhello\r\n0\r\nX-Fine: 1\r\nX-Other: 2\r\n\r\n")},
};

static const struct framing_row bad_chunks[] = {
    {"0x5", S("0x5\r\nhello\r\n0\r\n\r\n")},
    {"+5", S("+5\r\nhello\r\n0\r\n\r\n")},
    {"-1", S("-1\r\nhello\r\n0\r\n\r\n")},
    {"5 ", S("5 \r\nhello\r\n0\r\n\r\n")},
    {" 5", S(" 5\r\nhello\r\n0\r\n\r\n")},
    {"tab", S("5\t\r\nhello\r\n0\r\n\r\n")},
    {"1_0", S("1_0\r\nhello\r\n0\r\n\r\n")},
    {"5,5", S("5,5\r\nhello\r\n0\r\n\r\n")},
    {"5.0", S("5.0\r\nhello\r\n0\r\n\r\n")},
    {"g", S("g\r\nhello\r\n0\r\n\r\n")},
    {"no size", S("\r\nhello\r\n0\r\n\r\n")},
    {"no size but an extension", S(";a\r\nhello\r\n0\r\n\r\n")},
    {"NUL", S("\0\r\nhello\r\n0\r\n\r\n")},
    {"NUL behind the size", S("5\0\r\nhello\r\n0\r\n\r\n")},
    {"bare CR", S("5\rhello\r\n0\r\n\r\n")},
    {"2^64", S("10000000000000000\r\nhello\r\n0\r\n\r\n")},
    {"2^64 + 5", S("10000000000000005\r\nhello\r\n0\r\n\r\n")},
    {"no last chunk", S("5\r\nhello\r\n")},
    {"no CRLF behind a chunk", S("5\r\nhello0\r\n\r\n")},
    {"more than its size", S("5\r\nhellooo\r\n0\r\n\r\n")},
    {"last chunk no number", S("5\r\nhello\r\nz\r\n\r\n")},
    {"trailer without colon", S("5\r\nhello\r\n0\r\nX y\r\n\r\n")},
    {"trailer without name", S("5\r\nhello\r\n0\r\n: y\r\n\r\n")},
    {"trailer with a space before the colon", S("5\r\nhello\r\n0\r\nX : y\r\n\r\n")},
    {"trailer with a control character", S("5\r\nhello\r\n0\r\nX: \x01\r\n\r\n")},
    {"trailer with a CR inside", S("5\r\nhello\r\n0\r\nX: y\rz\r\n\r\n")},
    {"folded first trailer", S("5\r\nhello\r\n0\r\n X: y\r\n\r\n")},
};

static const struct framing_row lf_chunks[] = {
    {"everywhere", S("5\nhello\n0\n\n")},
    {"behind a size", S("5\nhello\r\n0\r\n\r\n")},
    {"behind an extension", S("5;a\nhello\r\n0\r\n\r\n")},
    {"behind a chunk", S("5\r\nhello\n0\r\n\r\n")},
    {"behind the last size", S("5\r\nhello\r\n0\n\r\n")},
    {"behind the last extension", S("5\r\nhello\r\n0;a\n\r\n")},
    {"at the end", S("5\r\nhello\r\n0\r\n\n")},
    {"behind the last trailer", S("5\r\nhello\r\n0\r\nX: y\n\r\n")},
    {"behind a NUL", S("5\r\nhello\r\n0\r\nX: y\0\r\n\r\n")},
};

static const struct framing_row hiding_chunks[] = {
    {"CR", S("5;a\rb\r\nhello\r\n0\r\n\r\n")},
    {"NUL", S("5;\0\r\nhello\r\n0\r\n\r\n")},
    {"NUL in the last one", S("5\r\nhello\r\n0;\0\r\n\r\n")},
    {"control character", S("5;a=\x01\r\nhello\r\n0\r\n\r\n")},
};

static const struct framing_row lax_trailers[] = {
    {"bare LF between two", S("5\r\nhello\r\n0\r\nX: y\nZ: a\r\n\r\n")},
    {"folded", S("5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n")},
    {"folded by a tab", S("5\r\nhello\r\n0\r\nX: y\r\n\tz\r\n\r\n")},
    {"folded, empty before", S("5\r\nhello\r\n0\r\nX:\r\n z\r\n\r\n")},
    {"NUL", S("5\r\nhello\r\n0\r\nX: y\0z\r\n\r\n")},
};

/* --- all of them ----------------------------------------------------------------------------- */

const char *const framing_good_hosts[] = {
    "h",
    "H.Example.",
    "127.0.0.1",
    "h:80",
    "h:",
    "[::1]",
    "[::1]:80",
    "[2001:db8::1]",
    "xn--bcher-kva.example",
    "a_b.local",
    "[::ffff:1.2.3.4]:1",
    NULL,
};

#define TABLE(rows, status)                                                                        \
    { rows, ARRAY_LEN(rows), status }

const struct framing_table framing_lengths = TABLE(lengths, 400);
const struct framing_table framing_too_large = TABLE(too_large, 413);
const struct framing_table framing_codings = TABLE(codings, 400);
const struct framing_table framing_hosts = TABLE(hosts, 400);
const struct framing_table framing_lines = TABLE(lines, 400);
const struct framing_table framing_names = TABLE(names, 400);
const struct framing_table framing_request_lines = TABLE(request_lines, 400);
const struct framing_table framing_versions = TABLE(versions, 505);
const struct framing_table framing_sound_chunks = TABLE(sound_chunks, 0);
const struct framing_table framing_bad_chunks = TABLE(bad_chunks, 0);
const struct framing_table framing_lf_chunks = TABLE(lf_chunks, 0);
const struct framing_table framing_hiding_chunks = TABLE(hiding_chunks, 0);
const struct framing_table framing_lax_trailers = TABLE(lax_trailers, 0);
