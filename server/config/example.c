#include "server/config/schema.h"

#include "server/config/config.h"

static void write_help(FILE *out, const char *help, int indent) {
    struct span rest = span_of(help), line;
    while (span_next(&rest, '\n', &line))
        fprintf(out, "%*s# %.*s\n", indent, "", SPAN_PRINTF(line));
}

/* The options of a section, or of the first entry of a list: then "- " stands before the first. */
static void write_section(FILE *out, const struct section *section, int indent, bool entry) {
    for (size_t i = 0; i < section->count; i++) {
        const struct option *option = &section->options[i];
        const char *value = option->sample ? option->sample : option->fallback;

        if (indent == 0) fputc('\n', out);
        bool opens = entry && i == 0;
        write_help(out, option->help, opens ? indent - 2 : indent);
        fprintf(out, "%*s%s", opens ? indent - 2 : indent, "", opens ? "- " : "");
        if (option->section) {
            fprintf(out, "%s:\n", option->key);
            write_section(out, option->section, indent + (option->list ? 4 : 2), option->list);
            if (option->more) fputs(option->more, out);
        } else {
            fprintf(out, "%s%s: %s\n", option->sample ? "" : "#", option->key,
                    *value ? value : "\"\"");
        }
    }
}

int config_write_example(FILE *out) {
    fputs("# Configuration of bearerd: every option. What is commented out is at its default.\n"
          "#\n"
          "# Durations are written with ms, s, m, h or d: 500ms, 10s. Sizes with B, KiB or MiB.\n"
          "# `bearerd check -c FILE` names every mistake in a file; SIGHUP loads it anew.\n",
          out);
    write_section(out, &section_root, 0, false);
    return ferror(out) ? ERR_SYSTEM : 0;
}
