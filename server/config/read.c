#include "server/config/read.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/ascii.h"
#include "server/config/check.h"
#include "server/config/load.h"

/* No configuration is larger; a file that is was named by mistake. */
#define TEXT_MAX ((size_t)16 * 1024 * 1024)

static unsigned usable_cpus(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return (unsigned)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

/* The first folder of $STATE_DIRECTORY: systemd lists several with ':' between them. */
static char *state_directory(struct problems *problems) {
    struct span rest = span_of(getenv("STATE_DIRECTORY")), first = SPAN_LITERAL("");

    if (span_next(&rest, ':', &first) && !span_starts_with(first, SPAN_LITERAL("/")))
        problem_add(problems, 0, 0, NULL,
                    "STATE_DIRECTORY: does not start with '/'; set an absolute path, or none");
    return strndup(first.ptr, first.len);
}

static char *discovery_url(const char *issuer) {
    char *url;
    size_t len = strlen(issuer);
    while (len && issuer[len - 1] == '/') len--;
    if (asprintf(&url, "%.*s/.well-known/openid-configuration", (int)len, issuer) < 0) return NULL;
    return url;
}

static void fill_route(const struct config *config, struct config_route *route) {
    char *end = route->path + strlen(route->path);

    route->subtree = end[-1] == '*';
    if (route->subtree) end[-1] = '\0';
    for (size_t i = 0; i < route->hosts.count; i++)
        for (char *c = route->hosts.items[i]; *c; c++) *c = ascii_lower(*c);
    route->upstream_index = UPSTREAM_NONE;
    for (size_t i = 0; i < config->upstream_count; i++)
        if (strcmp(config->upstreams[i].name, route->upstream) == 0) route->upstream_index = i;
}

/* What could not be written down in a table. */
static void fill_defaults(struct config *config, struct problems *problems) {
    if (config->workers == 0) config->workers = usable_cpus();
    if (!*config->state_directory) {
        free(config->state_directory);
        config->state_directory = state_directory(problems);
        if (!config->state_directory) problems->out_of_memory = true;
    }
    for (size_t i = 0; i < config->issuer_count; i++) {
        struct config_issuer *issuer = &config->issuers[i];
        if (*issuer->discovery || *issuer->jwks_uri || *issuer->jwks_file) continue;
        free(issuer->discovery);
        issuer->discovery = discovery_url(issuer->issuer);
        if (!issuer->discovery) problems->out_of_memory = true;
    }
    for (size_t i = 0; i < config->route_count; i++) fill_route(config, &config->routes[i]);
}

static int load(struct span text, const struct tree *tree, const char *source,
                struct problems *problems, struct config **ret) {
    CLEANUP(config_unrefp) struct config *config = calloc(1, sizeof *config);
    struct err_text err = {""};

    if (!config) return ERR_MEMORY;
    ref_init(&config->ref);
    if (!(config->source = strdup(source))) return ERR_MEMORY;
    int r = load_fill(text, tree, config, &err);
    if (r < 0) {
        problem_add(problems, 0, 0, NULL, "%s", err.text);
        return r;
    }
    fill_defaults(config, problems);
    *ret = TAKE_PTR(config);
    return 0;
}

int read_config(struct span text, const char *source, struct problems *problems,
                struct config **ret, struct config_report *report) {
    CLEANUP(config_unrefp) struct config *config = NULL;
    struct tree tree = {0};
    int r = 0;

    if (span_starts_with(text, SPAN_LITERAL("\xef\xbb\xbf"))) text = span_from(text, 3);
    if (text.len > TEXT_MAX) {
        problem_add(problems, 0, 0, NULL, "is larger than 16 MiB; name the configuration file");
    } else {
        tree_parse(text, problems, &tree);
        check_tree(&tree, problems);
    }
    if (problems->count == 0 && !problems->out_of_memory)
        r = load(text, &tree, source, problems, &config);
    tree_done(&tree);

    int found = problems_take(problems, report);
    if (r == 0) r = found;
    if (r == 0) *ret = TAKE_PTR(config);
    return r;
}

int config_parse(struct span text, const char *source, struct config **ret,
                 struct config_report *report) {
    struct problems problems = {0};
    return read_config(text, source, &problems, ret, report);
}

/* All of the file, or one byte more than is allowed. Returns the length, or -1 with errno. */
static ssize_t read_file(const char *path, char *bytes) {
    size_t len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    while (len <= TEXT_MAX) {
        ssize_t n = read(fd, bytes + len, TEXT_MAX + 1 - len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            int saved = errno;
            close(fd);
            errno = saved;
            return n < 0 ? -1 : (ssize_t)len;
        }
        len += (size_t)n;
    }
    close(fd);
    return (ssize_t)len;
}

int config_load(const char *path, struct config **ret, struct config_report *report) {
    struct problems problems = {0};
    *report = (struct config_report){0};
    char *bytes = malloc(TEXT_MAX + 1);
    if (!bytes) return ERR_MEMORY;

    ssize_t len = read_file(path, bytes);
    int r;
    if (len < 0) {
        problem_add(&problems, 0, 0, NULL, "cannot be read: %m");
        r = problems_take(&problems, report) == ERR_MEMORY ? ERR_MEMORY : ERR_SYSTEM;
    } else {
        r = read_config((struct span){bytes, (size_t)len}, path, &problems, ret, report);
    }
    free(bytes);
    return r;
}
