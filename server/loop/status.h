/*
 * status: how the daemon is, as one JSON object, for people and their scripts.
 */
#ifndef SERVER_LOOP_STATUS_H
#define SERVER_LOOP_STATUS_H

#include "server/loop/conn.h"

/* How an issuer stands at this moment. */
struct status_issuer {
    bool usable;
    int64_t age_ms;        /* of its keys; -1: there are none */
    int64_t stale_in_ms;   /* until they must not serve any more; -1: there are none, or they are */
    int64_t refresh_in_ms; /* until the next refresh by timer; -1: not known */
    struct standing standing;
    char why[320]; /* it is not usable; "" = it is */
};

/* Any thread that holds the entry's ring. Takes the lock of its pulse. */
struct status_issuer status_of_issuer(const struct keyring_entry *entry);

/* Write it all, as conn's pinned view and worker have it. Its worker. */
void status_write(const struct conn *conn, struct buf *out);

#endif
