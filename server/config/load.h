/*
 * load: from YAML text that the check found nothing wrong with to struct config. libcyaml reads the
 * text by a schema made from our tables.
 */
#ifndef SERVER_CONFIG_LOAD_H
#define SERVER_CONFIG_LOAD_H

#include "server/config/config.h"
#include "server/config/tree.h"

/*
 * Fill *config, which is all zero, from the text and from the defaults of the tables. tree is made
 * of the same text. Defaults that depend on this machine are not filled in here. ERR_MEMORY, or
 * ERR_SYSTEM where libcyaml refuses after all; *config is then half filled and can be freed.
 */
int load_fill(struct span text, const struct tree *tree, struct config *config,
              struct err_text *err) MUST_CHECK;

/* Free what load_fill() put into *config. */
void load_clear(struct config *config);

#endif
