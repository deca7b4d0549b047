#include "server/loop/census.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>

#include "common/attr.h"
#include "tests/support/suite.h"

#define MANY 1000000

/* An address from its words; "unix" for a Unix socket. */
static struct sockaddr_storage address_of(const char *text) {
    struct sockaddr_storage storage = {.ss_family = AF_UNIX};
    struct sockaddr_in *in = (void *)&storage;
    struct sockaddr_in6 *in6 = (void *)&storage;
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1)
        in->sin_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1)
        in6->sin6_family = AF_INET6;
    return storage;
}

static enum census_answer enter(struct census *census, const char *address, uint64_t limit,
                                uint64_t per_address, bool *ret_counted) {
    struct sockaddr_storage storage = address_of(address);
    return census_enter(census, (struct sockaddr *)&storage, limit, per_address, ret_counted);
}

static void leave(struct census *census, const char *address, bool counted) {
    struct sockaddr_storage storage = address_of(address);
    census_leave(census, (struct sockaddr *)&storage, counted);
}

TEST(no_more_than_the_limit_are_admitted_and_who_leaves_makes_room) {
    struct census *census = census_new();
    bool counted;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++)
            ck_assert_int_eq(enter(census, "192.0.2.1", 4, 0, &counted), CENSUS_ADMITTED);
        ck_assert(!counted);
        ck_assert_int_eq(enter(census, "192.0.2.2", 4, 0, &counted), CENSUS_FULL);
        ck_assert_uint_eq(census_count(census), 4);
        for (int i = 0; i < 4; i++) leave(census, "192.0.2.1", false);
        ck_assert_uint_eq(census_count(census), 0);
    }
    census_free(census);
}

TEST(each_address_has_its_own_share) {
    static const struct {
        const char *first, *second;
        bool same;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"2001:db8::1", "2001:db8::1", true},
        {"2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true}, /* one /64, one host */
        {"2001:db8::1", "2001:db8:0:1::1", false},
        {"::1", "::1", true},
        {"192.0.2.1", "::1", false},
        {"192.0.2.1", "unix", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct census *census = census_new();
        bool first, second;
        ck_assert_int_eq(enter(census, rows[i].first, MANY, 1, &first), CENSUS_ADMITTED);
        ck_assert(first);
        enum census_answer answer = enter(census, rows[i].second, MANY, 1, &second);
        ck_assert_msg(answer == (rows[i].same ? CENSUS_FULL_FOR_ADDRESS : CENSUS_ADMITTED),
                      "%s, %s", rows[i].first, rows[i].second);
        ck_assert_uint_eq(census_count(census), rows[i].same ? 1 : 2);
        if (!rows[i].same) leave(census, rows[i].second, second);
        leave(census, rows[i].first, first);
        /* Whoever left is forgotten. */
        ck_assert_int_eq(enter(census, rows[i].first, MANY, 1, &first), CENSUS_ADMITTED);
        leave(census, rows[i].first, first);
        census_free(census);
    }
}

TEST(unix_sockets_have_no_address_to_be_limited_by) {
    struct census *census = census_new();
    bool counted;
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(enter(census, "unix", MANY, 1, &counted), CENSUS_ADMITTED);
        ck_assert(!counted);
    }
    ck_assert_int_eq(enter(census, "unix", 10, 1, &counted), CENSUS_FULL);
    for (int i = 0; i < 10; i++) leave(census, "unix", false);
    census_free(census);
}

TEST(a_limit_that_came_or_went_meanwhile_miscounts_nobody) {
    struct census *census = census_new();
    bool before, during;
    ck_assert_int_eq(enter(census, "192.0.2.1", MANY, 0, &before), CENSUS_ADMITTED);
    ck_assert_int_eq(enter(census, "192.0.2.1", MANY, 1, &during), CENSUS_ADMITTED);
    ck_assert(!before && during);
    leave(census, "192.0.2.1", before);
    ck_assert_int_eq(enter(census, "192.0.2.1", MANY, 1, &before), CENSUS_FULL_FOR_ADDRESS);
    leave(census, "192.0.2.1", during);
    ck_assert_int_eq(enter(census, "192.0.2.1", MANY, 1, &before), CENSUS_ADMITTED);
    leave(census, "192.0.2.1", before);
    ck_assert_uint_eq(census_count(census), 0);
    census_free(census);
}

/* More addresses than there are buckets: chains are followed and unlinked at any place. */
TEST(very_many_addresses_are_told_apart) {
    struct census *census = census_new();
    char text[32];
    bool counted;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 5000; i++) {
            snprintf(text, sizeof text, "10.%d.%d.1", i / 250, i % 250);
            ck_assert_int_eq(enter(census, text, MANY, 1, &counted), CENSUS_ADMITTED);
            ck_assert_int_eq(enter(census, text, MANY, 1, &counted), CENSUS_FULL_FOR_ADDRESS);
        }
        for (int i = round ? 4999 : 0; i >= 0 && i < 5000; i += round ? -1 : 1) {
            snprintf(text, sizeof text, "10.%d.%d.1", i / 250, i % 250);
            leave(census, text, true);
        }
        ck_assert_uint_eq(census_count(census), 0);
    }
    census_free(census);
}

#define THREADS 4
#define ROUNDS 5000
#define LIMIT 3
static _Atomic int inside, worst;

static void *come_and_go(void *argument) {
    struct census *census = argument;
    bool counted;
    for (int i = 0; i < ROUNDS; i++) {
        if (enter(census, "192.0.2.1", MANY, LIMIT, &counted) != CENSUS_ADMITTED) continue;
        int now = ++inside;
        if (now > worst) worst = now;
        inside--;
        leave(census, "192.0.2.1", counted);
    }
    return NULL;
}

TEST(threads_never_exceed_the_limit_together) {
    struct census *census = census_new();
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, come_and_go, census), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    ck_assert_int_le(worst, LIMIT);
    ck_assert_int_ge(worst, 1);
    ck_assert_uint_eq(census_count(census), 0);
    census_free(census);
}
