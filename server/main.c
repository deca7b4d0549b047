/*
 * main: the command line. Each command is one row of the table; the work is done elsewhere.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/attr.h"
#include "server/dev/dev.h"
#include "server/explain/command.h"
#include "server/online/online.h"
#include "server/server.h"

#define EXIT_USAGE 2
#define DEFAULT_FILE "/etc/bearerd/bearerd.yaml"

/* --- where the configuration comes from ----------------------------------------------------- */

/* -c beats BEARERD_CONFIG beats the file in /etc; NULL: the environment says it all. */
static const char *choose_file(const char *option) {
    const char *from_environment = getenv("BEARERD_CONFIG");
    if (option) return option;
    if (from_environment && *from_environment) return from_environment;
    if (getenv("OIDC_ISSUER") && access(DEFAULT_FILE, F_OK) != 0) return NULL;
    return DEFAULT_FILE;
}

static struct config *load_config(void *argument) {
    const char *path = choose_file(argument);
    struct config_report report = {0};
    struct config *config = NULL;

    int r = path ? config_load(path, &config, &report) : config_from_environment(&config, &report);
    config_report_print(&report, path ? path : "environment", stderr);
    config_report_done(&report);
    if (path && strcmp(path, DEFAULT_FILE) == 0 && access(path, F_OK) != 0)
        fputs("bearerd: name a file with -c, or set OIDC_ISSUER and OIDC_AUDIENCE; "
              "'bearerd dev' tries it without either\n",
              stderr);
    return r < 0 ? NULL : config;
}

/* --- commands ------------------------------------------------------------------------------ */

/* Read "-c FILE" and --help; false with *ret_exit set where the command ends here. */
static bool read_options(int argc, char **argv, const char *help, char **ret_file, int *ret_exit) {
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {0}};
    int option;

    *ret_file = NULL;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            *ret_file = optarg;
            break;
        case 'h':
            fputs(help, stdout);
            *ret_exit = EXIT_SUCCESS;
            return false;
        default:
            fputs(help, stderr);
            *ret_exit = EXIT_USAGE;
            return false;
        }
    }
    if (optind == argc) return true;
    fprintf(stderr, "bearerd: unexpected argument '%s'\n%s", argv[optind], help);
    *ret_exit = EXIT_USAGE;
    return false;
}

static const char run_help[] =
    "usage: bearerd [run] [-c FILE]\n"
    "\n"
    "Serve in the foreground until SIGTERM; SIGHUP reloads the configuration.\n"
    "FILE is -c, or $BEARERD_CONFIG, or " DEFAULT_FILE ". Where there is none of them:\n"
    "  OIDC_ISSUER    the issuer whose tokens are accepted\n"
    "  OIDC_AUDIENCE  the audience that tokens must be for\n"
    "  OIDC_SCOPES    scopes that every token must carry (default: openid; may be empty)\n"
    "  BEARERD_LISTEN the address to listen on (default: 127.0.0.1:8080)\n"
    "  BEARERD_ADMIN  the address of the admin listener (default: none)\n";

static int command_run(int argc, char **argv) {
    char *file;
    int code;
    if (!read_options(argc, argv, run_help, &file, &code)) return code;
    return server_run(load_config, file, NULL);
}

static const char check_help[] =
    "usage: bearerd check [-c FILE]\n"
    "       bearerd check --online [-c FILE] [--issuer URL]\n"
    "       bearerd check --example\n"
    "\n"
    "Check the configuration, print every problem in it, and exit: 0 if it is good, 1 if not.\n"
    "--online also fetches the keys of every issuer once and tells each step of it.\n"
    "--example prints a configuration instead, with every option, its meaning and its default.\n";

static int command_check(int argc, char **argv) {
    char *file;
    int code;
    if (argc == 2 && strcmp(argv[1], "--example") == 0)
        return config_write_example(stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--online") == 0) return online_main(argc, argv, load_config);
    if (!read_options(argc, argv, check_help, &file, &code)) return code;

    CLEANUP(config_unrefp) struct config *config = load_config(file);
    if (!config) return EXIT_FAILURE;
    struct err_text why;
    if (server_check(config, &why) < 0) {
        fprintf(stderr, "%s: %s\n", config->source, why.text);
        return EXIT_FAILURE;
    }
    printf("%s: the configuration is good\n", config->source);
    return EXIT_SUCCESS;
}

static int command_explain(int argc, char **argv) {
    return explain_main(argc, argv, load_config);
}

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"run", command_run, "serve (also without any command)"},
    {"check", command_check, "check the configuration and exit"},
    {"explain", command_explain, "tell why a token is let through or refused"},
    {"dev", dev_main, "try it: a throwaway issuer, sample routes and curl lines, on loopback"},
};

static void print_help(FILE *out) {
    fputs("usage: bearerd [COMMAND] [OPTION...]\n\n", out);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fputs("\nbearerd COMMAND --help tells the options; bearerd --version the version.\n", out);
}

/*
 * Where a descriptor of the standard three is closed, a socket would take its number, and what is
 * meant for the log would go to a client.
 */
static void occupy_standard_descriptors(void) {
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO) close(fd);
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "run";

    occupy_standard_descriptors();
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_help(stdout);
        return EXIT_SUCCESS;
    }
    if (strcmp(name, "--version") == 0) {
        puts("bearerd " BEARERD_VERSION);
        return EXIT_SUCCESS;
    }
    if (name[0] == '-') return command_run(argc, argv);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - (argc > 1), argv + (argc > 1));
    fprintf(stderr, "bearerd: there is no command '%s'\n", name);
    print_help(stderr);
    return EXIT_USAGE;
}
