#include "server/config/config.h"

#include <stdlib.h>

#include "server/config/load.h"

struct config *config_ref(struct config *config) {
    ref_take(&config->ref);
    return config;
}

void config_unref(struct config *config) {
    if (!config || !ref_drop(&config->ref)) return;
    load_clear(config);
    free(config->source);
    free(config);
}

void config_report_print(const struct config_report *report, const char *source, FILE *out) {
    for (size_t i = 0; i < report->count; i++) {
        const struct config_problem *problem = &report->problems[i];
        if (problem->line)
            fprintf(out, "%s:%u:%u: %s\n", source, problem->line, problem->column, problem->text);
        else
            fprintf(out, "%s: %s\n", source, problem->text);
    }
}

void config_report_done(struct config_report *report) {
    for (size_t i = 0; i < report->count; i++) free(report->problems[i].text);
    free(report->problems);
    *report = (struct config_report){0};
}

bool config_issuer_same_source(const struct config_issuer *a, const struct config_issuer *b) {
    return strcmp(a->issuer, b->issuer) == 0 && strcmp(a->discovery, b->discovery) == 0 &&
           strcmp(a->jwks_uri, b->jwks_uri) == 0 && strcmp(a->jwks_file, b->jwks_file) == 0 &&
           a->insecure_http == b->insecure_http;
}
