#include "server/online/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "common/buf.h"
#include "common/ref.h"

#define ADDRESSES_MAX 600

struct names {
    struct ref ref; /* the caller's, and the thread's */
    char *host;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done;
    int result;
    struct buf addresses;
};

static void names_unref(struct names *names) {
    if (!ref_drop(&names->ref)) return;
    pthread_cond_destroy(&names->ended);
    pthread_mutex_destroy(&names->lock);
    buf_done(&names->addresses);
    free(names->host);
    free(names);
}

static void add_address(struct buf *out, const struct sockaddr *address) {
    char text[INET6_ADDRSTRLEN];
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;
    bool is_v6 = address->sa_family == AF_INET6;

    if (!inet_ntop(address->sa_family, is_v6 ? (const void *)&v6->sin6_addr : &v4->sin_addr, text,
                   sizeof text))
        return;
    buf_addf(out, "%s%s", out->len ? ", " : "", text);
}

static void *look_up(void *argument) {
    struct names *names = argument;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;

    int result = getaddrinfo(names->host, NULL, &hints, &found);
    pthread_mutex_lock(&names->lock);
    for (struct addrinfo *each = result == 0 ? found : NULL; each; each = each->ai_next)
        add_address(&names->addresses, each->ai_addr);
    names->result = result;
    names->done = true;
    pthread_cond_signal(&names->ended);
    pthread_mutex_unlock(&names->lock);
    if (result == 0) freeaddrinfo(found);
    names_unref(names);
    return NULL;
}

struct names *names_start(const char *host) {
    struct names *names = calloc(1, sizeof *names);
    pthread_condattr_t monotonic;
    pthread_t thread;

    if (!names) return NULL;
    ref_init(&names->ref);
    pthread_mutex_init(&names->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&names->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    names->addresses = buf_make(ADDRESSES_MAX);
    names->host = strdup(host);
    ref_take(&names->ref);
    if (!names->host || pthread_create(&thread, NULL, look_up, names) != 0) {
        names_unref(names);
        names_unref(names);
        return NULL;
    }
    pthread_detach(thread);
    return names;
}

bool names_wait(struct names *names, int64_t within_ms, int *ret_result,
                const char **ret_addresses) {
    struct timespec until;

    if (!names) return false;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += within_ms / 1000;
    until.tv_nsec += within_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    pthread_mutex_lock(&names->lock);
    while (!names->done && pthread_cond_timedwait(&names->ended, &names->lock, &until) != ETIMEDOUT)
        ;
    bool done = names->done;
    pthread_mutex_unlock(&names->lock);
    if (!done) return false;
    *ret_result = names->result;
    *ret_addresses = names->addresses.data ? names->addresses.data : "";
    return true;
}

void names_end(struct names *names) {
    if (names) names_unref(names);
}
