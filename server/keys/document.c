#include "server/keys/document.h"

#include <errno.h>
#include <stdio.h>

CLEANUP_DEFINE(FILE *, fclose)

struct fetch_settings document_fetch_settings(const struct config *config) {
    const struct config_fetch *fetch = &config->fetch;
    return (struct fetch_settings){.ca_file = fetch->ca_file,
                                   .proxy = fetch->proxy,
                                   .no_proxy = fetch->no_proxy,
                                   .connect_timeout_ms = fetch->connect_timeout,
                                   .timeout_ms = fetch->timeout,
                                   .max_body = fetch->max_body};
}

const char *document_judge(const struct fetch_reply *reply, struct err_text *why) {
    if (reply->error) return reply->error;
    if (reply->status == 200) return NULL;
    err_set(why, 0, "the answer has status %ld where 200 was expected", reply->status);
    return why->text;
}

int document_read_file(const char *path, struct buf *content, struct err_text *err) {
    char chunk[4096];
    size_t n;

    CLEANUP(fclosep) FILE *file = fopen(path, "re");
    while (file && buf_ok(content) && (n = fread(chunk, 1, sizeof chunk, file)) > 0)
        buf_add(content, (struct span){chunk, n});
    if (!file || ferror(file)) return err_set(err, ERR_SYSTEM, "%s", strerror(errno));
    if (!buf_ok(content)) return err_set(err, ERR_LIMIT, "the file is larger than fetch.max_body");
    return 0;
}
