#include "common/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "common/parse.h"

/* Where IPv4 lies within IPv6 (RFC 4291 section 2.5.5.2): these bits, then the address. */
#define MAPPED_BITS 96
#define MAPPED_BYTES (MAPPED_BITS / 8)
static const unsigned char mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool parse_address(struct span text, unsigned char address[16], bool *ret_v4) {
    char copy[INET6_ADDRSTRLEN];

    if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, '\0', text.len)) return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *ret_v4 = span_find(text, ':') == text.len;
    if (!*ret_v4) return inet_pton(AF_INET6, copy, address) == 1;
    memcpy(address, mapped, MAPPED_BYTES);
    return inet_pton(AF_INET, copy, address + MAPPED_BYTES) == 1;
}

/* The first so many bits of both are the same. */
static bool agree(const unsigned char a[16], const unsigned char b[16], unsigned bits) {
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a, b, whole) != 0) return false;
    return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

/* Every bit behind the prefix is 0. */
static bool ends_at(const unsigned char address[16], unsigned bits) {
    for (unsigned i = bits; i < 128; i++)
        if (address[i / 8] >> (7 - i % 8) & 1) return false;
    return true;
}

int cidr_parse(struct span text, struct cidr *ret, struct err_text *err) {
    struct cidr cidr = {.bits = 128};
    size_t slash = span_find(text, '/');
    uint64_t length;
    bool v4;

    if (!parse_address(span_until(text, slash), cidr.address, &v4))
        return err_set(err, ERR_SYNTAX, "is no IP address or block of them");
    if (slash < text.len) {
        struct span digits = span_from(text, slash + 1);
        unsigned most = v4 ? 32 : 128;
        if (parse_u64(digits, most, &length) < 0 || (digits.len > 1 && digits.ptr[0] == '0'))
            return err_set(err, ERR_SYNTAX, "has no prefix length from 0 to %u behind '/'", most);
        cidr.bits = (unsigned)length + (v4 ? MAPPED_BITS : 0);
    }
    /* 10.1.2.3/8 may mean one address or sixteen million: whoever wrote it must say. */
    if (!ends_at(cidr.address, cidr.bits))
        return err_set(err, ERR_SYNTAX, "has address bits behind the prefix");
    *ret = cidr;
    return 0;
}

bool cidr_is_everyone(const struct cidr *cidr) {
    if (cidr->bits == 0) return true;
    return cidr->bits == MAPPED_BITS && agree(cidr->address, mapped, MAPPED_BITS);
}

bool cidr_holds(const struct cidr *cidr, const struct sockaddr *address) {
    unsigned char bytes[16];

    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        memcpy(bytes, &v6.sin6_addr, sizeof bytes);
    } else if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        memcpy(bytes, mapped, MAPPED_BYTES);
        memcpy(bytes + MAPPED_BYTES, &v4.sin_addr, sizeof v4.sin_addr);
    } else {
        return false;
    }
    /* A block of IPv6 so large that all of IPv4 lies in it, as ::/64, does not mean IPv4. */
    if (cidr->bits < MAPPED_BITS && agree(bytes, mapped, MAPPED_BITS)) return false;
    return agree(cidr->address, bytes, cidr->bits);
}
