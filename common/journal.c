#include "common/journal.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/utf8.h"

static const struct span replacement = SPAN_LITERAL("\xef\xbf\xbd");

void journal_add(struct buf *entry, struct span name, struct span value) {
    buf_add(entry, name);
    buf_add_char(entry, '=');
    while (value.len) {
        uint32_t character;
        size_t width = utf8_decode(value, &character);
        bool kept = width && !utf8_is_steering(character);
        buf_add(entry, kept ? span_until(value, width) : replacement);
        value = span_from(value, width ? width : 1);
    }
    buf_add_char(entry, '\n');
}

int journal_open(void) {
    return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* False: no socket has so long a path. */
static bool fill_address(struct sockaddr_un *ret, const char *path) {
    size_t len = strlen(path);
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (len >= sizeof ret->sun_path) return false;
    memcpy(ret->sun_path, path, len);
    return true;
}

/* Each entry names its way, so that a journal which was started anew gets the next one. */
enum journal_sent journal_send(int fd, const char *path, struct span entry) {
    struct sockaddr_un address;
    ssize_t n;

    if (!fill_address(&address, path)) return JOURNAL_MISSING;
    do {
        n = sendto(fd, entry.ptr, entry.len, MSG_NOSIGNAL | MSG_DONTWAIT,
                   (const struct sockaddr *)&address, sizeof address);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) return JOURNAL_SENT;
    bool busy = errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == EMSGSIZE;
    return busy ? JOURNAL_BUSY : JOURNAL_MISSING;
}
