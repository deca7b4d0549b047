#include "server/config/schema.h"

#include "server/config/config.h"

static void write_help(FILE *out, const char *help, int indent) {
    struct span rest = span_of(help), line;
    while (span_next(&rest, '\n', &line))
        fprintf(out, "%*s# %.*s\n", indent, "", SPAN_PRINTF(line));
}

/* A list that is empty where it is left out: an example of it must not be in force. */
static bool is_off(const struct option *option) {
    return option->list && !option->required && !option->fallback;
}

/*
 * The options of a section, or of the first entry of a list: then "- " stands before the first. All
 * of it is commented out where it lies in something that is off.
 */
static void write_section(FILE *out, const struct section *section, int indent, bool entry,
                          bool off) {
    for (size_t i = 0; i < section->count; i++) {
        const struct option *option = &section->options[i];
        const char *value = option->sample ? option->sample : option->fallback;
        bool opens = entry && i == 0;
        int column = opens ? indent - 2 : indent;
        bool shown = !option->section || option->sample;
        bool out_of_use =
            off || (option->section ? option->sample || is_off(option) : !option->sample);

        if (indent == 0) fputc('\n', out);
        write_help(out, option->help, column);
        fprintf(out, "%*s%s%s%s:", column, "", out_of_use ? "#" : "", opens ? "- " : "",
                option->key);
        if (shown) {
            fprintf(out, " %s\n", *value ? value : "\"\"");
            continue;
        }
        fputc('\n', out);
        write_section(out, option->section, indent + (option->list ? 4 : 2), option->list,
                      out_of_use);
        if (option->more) fputs(option->more, out);
    }
}

int config_write_example(FILE *out) {
    fputs("# Configuration of bearerd: every option. What is commented out is at its default.\n"
          "#\n"
          "# Durations are written with ms, s, m, h or d: 500ms, 10s. Sizes with B, KiB or MiB.\n"
          "# `bearerd check -c FILE` names every mistake in a file; SIGHUP loads it anew.\n",
          out);
    write_section(out, &section_root, 0, false, false);
    return ferror(out) ? ERR_SYSTEM : 0;
}
