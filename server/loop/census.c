#include "server/loop/census.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024

struct entry {
    uint64_t key;
    uint64_t count;
    struct entry *next;
};

struct census {
    _Atomic uint64_t total;
    pthread_mutex_t lock; /* over buckets; taken only where per_address is limited */
    struct entry *buckets[BUCKETS];
};

struct census *census_new(void) {
    struct census *census = calloc(1, sizeof *census);
    if (census) pthread_mutex_init(&census->lock, NULL);
    return census;
}

void census_free(struct census *census) {
    if (!census) return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (census->buckets[i]) {
            struct entry *entry = census->buckets[i];
            census->buckets[i] = entry->next;
            free(entry);
        }
    }
    pthread_mutex_destroy(&census->lock);
    free(census);
}

/* IPv4 by the whole address, IPv6 by its upper half; 0 for what has no address. */
static uint64_t key_of(const struct sockaddr *address) {
    uint64_t key = 0;
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        key = (uint64_t)1 << 32 | in.sin_addr.s_addr;
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof in6);
        memcpy(&key, &in6.sin6_addr, sizeof key);
        if (key == 0) key = 1; /* ::1 has an address too */
    }
    return key;
}

/* The link that points to the entry of key, or to the end of its chain. */
static struct entry **find(struct census *census, uint64_t key) {
    struct entry **at = &census->buckets[key * 0x9e3779b97f4a7c15u >> 54];
    while (*at && (*at)->key != key) at = &(*at)->next;
    return at;
}

static bool count_in(struct census *census, uint64_t key, uint64_t limit) {
    bool admitted = false;

    pthread_mutex_lock(&census->lock);
    struct entry **at = find(census, key);
    if (!*at) {
        *at = calloc(1, sizeof **at);
        if (*at) (*at)->key = key;
    }
    if (*at && (*at)->count < limit) {
        (*at)->count++;
        admitted = true;
    }
    pthread_mutex_unlock(&census->lock);
    return admitted;
}

static void count_out(struct census *census, uint64_t key) {
    pthread_mutex_lock(&census->lock);
    struct entry **at = find(census, key);
    if (*at && --(*at)->count == 0) {
        struct entry *gone = *at;
        *at = gone->next;
        free(gone);
    }
    pthread_mutex_unlock(&census->lock);
}

enum census_answer census_enter(struct census *census, const struct sockaddr *address,
                                uint64_t limit, uint64_t per_address, bool *ret_counted) {
    uint64_t key = key_of(address);
    *ret_counted = false;

    if (atomic_fetch_add(&census->total, 1) >= limit) {
        atomic_fetch_sub(&census->total, 1);
        return CENSUS_FULL;
    }
    if (per_address == 0 || key == 0) return CENSUS_ADMITTED;
    if (!count_in(census, key, per_address)) {
        atomic_fetch_sub(&census->total, 1);
        return CENSUS_FULL_FOR_ADDRESS;
    }
    *ret_counted = true;
    return CENSUS_ADMITTED;
}

void census_leave(struct census *census, const struct sockaddr *address, bool counted) {
    atomic_fetch_sub(&census->total, 1);
    if (counted) count_out(census, key_of(address));
}

uint64_t census_count(struct census *census) {
    return atomic_load(&census->total);
}
