/* Configuration text, whole. What the check lets through, the loader must be able to load. */
#include <stdint.h>
#include <stdlib.h>

#include "server/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct config *config = NULL;
    struct config_report report;

    int r = config_parse((struct span){(const char *)data, size}, "fuzz", &config, &report);
    if (r != 0 && r != ERR_SYNTAX && r != ERR_MEMORY) abort();
    if ((r == 0) != (config != NULL)) abort();
    if ((r == ERR_SYNTAX) != (report.count > 0)) abort();
    for (size_t i = 1; i < report.count; i++)
        if (report.problems[i].line < report.problems[i - 1].line) abort();

    config_report_done(&report);
    config_unref(config);
    return 0;
}
