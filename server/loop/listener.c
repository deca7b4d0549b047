#include "server/loop/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/notify.h"
#include "common/span.h"

#define BACKLOG 1024

/* --- unix ---------------------------------------------------------------------------------- */

/* A socket file that nobody answers on is left over from a crash; one that answers is in use. */
static bool is_stale(const struct sockaddr_un *address) {
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) return false;
    bool refused = connect(probe, (const struct sockaddr *)address, sizeof *address) < 0 &&
                   errno == ECONNREFUSED;
    close(probe);
    return refused;
}

static int open_unix(const char *path, struct listener *listener, struct err_text *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;

    if (strlen(path) >= sizeof address.sun_path)
        return err_set(err, ERR_SYSTEM, "cannot listen on unix:%s: the path is too long", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode) && is_stale(&address)) unlink(path);

    listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->fd < 0 || bind(listener->fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener->fd, BACKLOG) < 0)
        return err_set(err, ERR_SYSTEM, "cannot listen on unix:%s: %s", path, strerror(errno));
    listener->unlink_path = strdup(path);
    return listener->unlink_path ? 0 : err_set(err, ERR_MEMORY, "out of memory");
}

/* --- TCP ----------------------------------------------------------------------------------- */

static int bind_one(const struct addrinfo *info) {
    int on = 1;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (info->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) return fd;

    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

/* "host:port" or "[v6]:port" into its halves. */
static int split_address(const char *address, char host[256], const char **ret_port) {
    struct span text = span_of(address);
    const char *colon = strrchr(address, ':');
    if (!colon) return ERR_SYNTAX;

    struct span name = span_until(text, (size_t)(colon - address));
    if (name.len >= 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']')
        name = span_until(span_from(name, 1), name.len - 2);
    if (name.len >= 256) return ERR_SYNTAX;
    memcpy(host, name.ptr, name.len);
    host[name.len] = '\0';
    *ret_port = colon + 1;
    return 0;
}

static int open_tcp(const char *address, struct listener *listener, struct err_text *err) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char host[256];
    const char *port;

    if (split_address(address, host, &port) < 0)
        return err_set(err, ERR_SYSTEM, "cannot listen on %s: it is not host:port", address);
    int r = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (r != 0)
        return err_set(err, ERR_SYSTEM, "cannot listen on %s: %s", address, gai_strerror(r));
    for (struct addrinfo *info = found; info && listener->fd < 0; info = info->ai_next)
        listener->fd = bind_one(info);
    int why = errno;
    freeaddrinfo(found);
    if (listener->fd >= 0) return 0;
    return err_set(err, ERR_SYSTEM, "cannot listen on %s: %s", address, strerror(why));
}

/* --- systemd ------------------------------------------------------------------------------- */

static int open_systemd(const char *name, struct listener *listener, struct err_text *err) {
    int fds[1];
    size_t count = notify_sockets(name, fds, ARRAY_LEN(fds));
    if (count == 0)
        return err_set(
            err, ERR_SYSTEM,
            "systemd passed no socket named \"%s\" (FileDescriptorName= in the socket unit)", name);
    if (count > 1)
        return err_set(err, ERR_SYSTEM,
                       "systemd passed %zu sockets named \"%s\"; each needs a name of its own",
                       count, name);
    int accepting = 0;
    socklen_t len = sizeof accepting;
    if (getsockopt(fds[0], SOL_SOCKET, SO_ACCEPTCONN, &accepting, &len) < 0 || !accepting)
        return err_set(err, ERR_SYSTEM,
                       "the socket \"%s\" of systemd does not listen (Accept=no and ListenStream= "
                       "in the socket unit)",
                       name);
    /* A duplicate, so that closing the listener leaves systemd's for the next reload. */
    listener->passed = true;
    listener->fd = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
    if (listener->fd < 0 || fcntl(listener->fd, F_SETFL, O_NONBLOCK) < 0)
        return err_set(err, ERR_SYSTEM, "cannot use the socket \"%s\": %s", name, strerror(errno));
    return 0;
}

/* --- all ----------------------------------------------------------------------------------- */

/*
 * A client that has vanished without a word would keep a tunnel open for ever. Accepted sockets
 * take this over; a unix socket, whose client cannot vanish, refuses it.
 */
static void find_the_dead(int fd) {
    int on = 1, idle_s = 60, interval_s = 15, probes = 4;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

int listener_open(const char *address, struct listener **ret, struct err_text *err) {
    static const struct {
        const char *prefix;
        int (*open)(const char *rest, struct listener *listener, struct err_text *err);
    } kinds[] = {{"unix:", open_unix}, {"systemd:", open_systemd}, {"", open_tcp}};

    CLEANUP(listener_unrefp) struct listener *listener = calloc(1, sizeof *listener);
    if (!listener) return err_set(err, ERR_MEMORY, "out of memory");
    ref_init(&listener->ref);
    listener->fd = -1;
    listener->address = strdup(address);
    if (!listener->address) return err_set(err, ERR_MEMORY, "out of memory");

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        size_t len = strlen(kinds[i].prefix);
        if (strncmp(address, kinds[i].prefix, len) != 0) continue;
        int r = kinds[i].open(address + len, listener, err);
        if (r < 0) return r;
        break;
    }
    find_the_dead(listener->fd);
    *ret = TAKE_PTR(listener);
    return 0;
}

struct listener *listener_ref(struct listener *listener) {
    ref_take(&listener->ref);
    return listener;
}

void listener_shut(struct listener *listener) {
    if (listener->passed) return;
    if (listener->unlink_path) unlink(listener->unlink_path);
    free(TAKE_PTR(listener->unlink_path));
    shutdown(listener->fd, SHUT_RDWR);
}

void listener_unref(struct listener *listener) {
    if (!listener || !ref_drop(&listener->ref)) return;
    if (listener->unlink_path) unlink(listener->unlink_path);
    if (listener->fd >= 0) close(listener->fd);
    free(listener->unlink_path);
    free(listener->address);
    free(listener);
}

bool listener_is_local(const struct listener *listener) {
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;

    if (getsockname(listener->fd, (struct sockaddr *)&address, &len) < 0) return false;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)&address;
    if (address.ss_family == AF_INET) return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    if (address.ss_family == AF_INET6) return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
    return address.ss_family == AF_UNIX;
}
