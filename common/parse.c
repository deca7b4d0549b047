#include "common/parse.h"

#include "common/err.h"

int parse_u64(struct span text, uint64_t max, uint64_t *ret) {
    uint64_t value = 0;

    if (text.len == 0) return ERR_SYNTAX;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') return ERR_SYNTAX;
        unsigned digit = (unsigned)(text.ptr[i] - '0');
        if (value > (UINT64_MAX - digit) / 10) return ERR_LIMIT;
        value = value * 10 + digit;
    }
    if (value > max) return ERR_LIMIT;
    *ret = value;
    return 0;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* A number with one of the units behind it; a bare "0" needs none. */
static int parse_with_unit(struct span text, const struct unit *units, size_t count,
                           uint64_t *ret) {
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') digits++;

    uint64_t number;
    int r = parse_u64(span_until(text, digits), INT64_MAX, &number);
    if (r < 0) return r;

    struct span unit = span_from(text, digits);
    if (unit.len == 0) {
        if (number != 0) return ERR_SYNTAX;
        *ret = 0;
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (!span_equal_text(unit, units[i].name)) continue;
        if (number > INT64_MAX / units[i].factor) return ERR_LIMIT;
        *ret = number * units[i].factor;
        return 0;
    }
    return ERR_SYNTAX;
}

int parse_duration(struct span text, int64_t *ret_ms) {
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    uint64_t value;
    int r = parse_with_unit(text, units, ARRAY_LEN(units), &value);
    if (r < 0) return r;
    *ret_ms = (int64_t)value;
    return 0;
}

int parse_size(struct span text, uint64_t *ret_bytes) {
    static const struct unit units[] = {{"B", 1}, {"KiB", 1024}, {"MiB", 1024 * 1024}};
    return parse_with_unit(text, units, ARRAY_LEN(units), ret_bytes);
}
