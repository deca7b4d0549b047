/*
 * listing: the keys of a JWK set, those that serve and those that do not.
 */
#ifndef SERVER_ONLINE_LISTING_H
#define SERVER_ONLINE_LISTING_H

#include "server/config/config.h"
#include "server/online/report.h"

/*
 * Report each key of the document, which is read as the daemon reads it (keyset_parse()): a line
 * for each that serves the issuer, one with the reason for each that is skipped, and a failure
 * where none serves.
 */
void listing_tell(struct report *report, const struct config_issuer *issuer, struct span document);

#endif
