/*
 * visit: fetch the keys of one issuer as the daemon does, and report each step.
 */
#ifndef SERVER_ONLINE_VISIT_H
#define SERVER_ONLINE_VISIT_H

#include "server/config/config.h"
#include "server/online/report.h"

/*
 * Blocks until the keys are there or something failed, bounded by fetch.timeout for each document.
 * Any thread. Fills *ret, which the caller releases with report_done(), in any case.
 */
void visit_issuer(const struct config *config, const struct config_issuer *issuer,
                  struct report *ret);

#endif
