/*
 * document: how the documents of issuers are fetched, whoever wants them.
 */
#ifndef SERVER_KEYS_DOCUMENT_H
#define SERVER_KEYS_DOCUMENT_H

#include "common/buf.h"
#include "common/fetch.h"
#include "server/config/config.h"

/* The settings of every such fetch. Borrows from config. */
struct fetch_settings document_fetch_settings(const struct config *config);

/*
 * Why an answer is no document: the fetch's error, or a sentence about its status, for which why
 * lends the room. NULL: it may be one.
 */
const char *document_judge(const struct fetch_reply *reply, struct err_text *why);

/*
 * A whole file into content, whose ceiling (fetch.max_body) bounds it. Returns 0, ERR_SYSTEM or
 * ERR_LIMIT with the reason in err.
 */
int document_read_file(const char *path, struct buf *content, struct err_text *err) MUST_CHECK;

#endif
