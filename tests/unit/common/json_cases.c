#include "tests/unit/common/json_cases.h"

#include "common/attr.h"

#define S(text) SPAN_LITERAL(text)

const struct json_good json_good[] = {
    {S("{}"), 0},
    {S(" \t\r\n{ \t\r\n} \t\r\n"), 0},
    {S("{\"a\":1}"), 1},
    {S("{\"a\":[[],{},null,true,false,\"\",-0,1.5e3]}"), 1},
    {S("{\"a\":1,\"A\":2,\"\":3}"), 3},
    {S("{\"a\":{\"b\":1},\"b\":{\"b\":1}}"), 2},
    {S("{\"\\ud83d\\ude00\":\"\xf0\x9f\x98\x80\"}"), 1},
    {S("{\"exp\":9223372036854775807,\"nbf\":-9223372036854775808}"), 2},
    {S("{\"a\":1e308}"), 1},
    {S("{\"a\":1e-400}"), 1},
    {S("{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}"), 1},
    {S("{\"a\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}"), 1},
};

const struct json_bad json_bad[] = {
    {SPAN_NONE, "is empty"},
    {S(""), "is empty"},
    {S(" "), "is not valid JSON (at byte 1)"},
    {S("[]"), "is not a JSON object"},
    {S("[{}]"), "is not a JSON object"},
    {S("null"), "is not a JSON object"},
    {S("true"), "is not a JSON object"},
    {S("1"), "is not a JSON object"},
    {S("\"{}\""), "is not a JSON object"},
    {S("{\"a\":1,\"a\":1}"), "names a member twice (at byte 10)"},
    {S("{\"a\":1,\"b\":2,\"a\":3}"), "names a member twice (at byte 16)"},
    {S("{\"exp\":1,\"\\u0065xp\":2}"), "names a member twice (at byte 19)"},
    {S("{\"\\u0065xp\":1,\"exp\":2}"), "names a member twice (at byte 19)"},
    {S("{\"a\":{\"b\":1,\"b\":1}}"), "names a member twice (at byte 15)"},
    {S("{\"\":1,\"\":1}"), "names a member twice (at byte 8)"},
    {S("{\"a\":1}\0"), "holds a NUL byte"},
    {S("{\"a\":\"\0\"}"), "holds a NUL byte"},
    {S("\0{}"), "holds a NUL byte"},
    {S("{}\0{}"), "holds a NUL byte"},
    {S("{\"a\":\"\\u0000\"}"), NULL},
    {S("{\"\\u0000\":1}"), NULL},
    {S("{\"a\\u0000b\":1}"), NULL},
    {S("{} x"), NULL},
    {S("{}}"), NULL},
    {S("{}{}"), NULL},
    {S("{} {}"), NULL},
    {S("{},"), NULL},
    {S("\xef\xbb\xbf{}"), NULL},
    {S("\xff\xfe{\0}\0"), "holds a NUL byte"},
    {S("{}// comment"), NULL},
    {S("/* comment */{}"), NULL},
    {S("{# comment\n}"), NULL},
    {S("{\"exp\":NaN}"), NULL},
    {S("{\"exp\":Infinity}"), NULL},
    {S("{\"exp\":-Infinity}"), NULL},
    {S("{\"exp\":nan}"), NULL},
    {S("{\"exp\":1e400}"), NULL},
    {S("{\"exp\":-1e400}"), NULL},
    {S("{\"exp\":9223372036854775808}"), NULL},
    {S("{\"exp\":-9223372036854775809}"), NULL},
    {S("{\"exp\":100000000000000000000000000000000000000000}"), NULL},
    {S("{\"exp\":01}"), NULL},
    {S("{\"exp\":+1}"), NULL},
    {S("{\"exp\":.5}"), NULL},
    {S("{\"exp\":1.}"), NULL},
    {S("{\"exp\":0x1}"), NULL},
    {S("{\"a\":\"\\ud800\"}"), NULL},
    {S("{\"a\":\"\\udc00\"}"), NULL},
    {S("{\"a\":\"\\ud800\\ud800\"}"), NULL},
    {S("{\"a\":\"\\ud800x\"}"), NULL},
    {S("{\"a\":\"\xed\xa0\x80\"}"), NULL},
    {S("{\"a\":\"\xc0\xaf\"}"), NULL},
    {S("{\"a\":\"\xe0\x80\xaf\"}"), NULL},
    {S("{\"a\":\"\xf4\x90\x80\x80\"}"), NULL},
    {S("{\"a\":\"\x80\"}"), NULL},
    {S("{\"a\":\"\xe2\x82\"}"), NULL},
    {S("{\"a\":\"\xff\"}"), NULL},
    {S("{\"a\":\"\n\"}"), NULL},
    {S("{\"a\":\"\x01\"}"), NULL},
    {S("{\"a\":\"\x1f\"}"), NULL},
    {S("{\"a\":\"\\x\"}"), NULL},
    {S("{\"a\":\"\\u12\"}"), NULL},
    {S("{\"a\":\"\\"), NULL},
    {S("{\"a\":\""), NULL},
    {S("{'a':1}"), NULL},
    {S("{a:1}"), NULL},
    {S("{1:1}"), NULL},
    {S("{\"a\":1,}"), NULL},
    {S("{\"a\"}"), NULL},
    {S("{\"a\":}"), NULL},
    {S("{\"a\":1"), NULL},
    {S("{"), NULL},
    {S("}"), NULL},
    {S("{\"a\":[}]"), NULL},
    {S("{\"secret-value"), NULL},
    {S("\f{}"), NULL},
    {S("\xc2\xa0{}"), NULL},
};

const size_t json_good_count = ARRAY_LEN(json_good);
const size_t json_bad_count = ARRAY_LEN(json_bad);

struct buf json_nested(size_t depth, char open, bool closed) {
    struct buf buf = buf_make(1000000);

    buf_add_char(&buf, '{');
    for (size_t i = 1; i < depth; i++)
        buf_add_text(&buf, open == '{' || i == 1 ? "\"a\":" : ""), buf_add_char(&buf, open);
    if (open == '[' && closed) buf_add_char(&buf, '1');
    for (size_t i = 1; i < depth && closed; i++) buf_add_char(&buf, open == '{' ? '}' : ']');
    if (closed) buf_add_char(&buf, '}');
    return buf;
}
