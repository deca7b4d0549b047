#include "server/dev/dev.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/dev/echo.h"
#include "server/dev/issuer.h"
#include "server/server.h"

struct dev {
    const char *listen;
    struct dev_issuer *issuer;
    struct web *echo;
};

static const char help[] =
    "usage: bearerd dev [--listen ADDRESS]\n"
    "\n"
    "Try bearerd on loopback: starts a throwaway issuer that gives anybody any token, an echo\n"
    "upstream and sample routes in one process, and prints curl lines. Nothing is kept.\n"
    "ADDRESS is where the gate itself listens (default: 127.0.0.1:8080).\n";

static struct config *load(void *argument) {
    const struct dev *dev = argument;
    struct buf yaml = buf_make(4096);
    struct config_report report = {0};
    struct config *config = NULL;

    buf_addf(&yaml,
             "listen:\n"
             "  - address: \"%s\"\n"
             "issuers:\n"
             "  - issuer: %s\n"
             "    audiences: [api]\n"
             "upstreams:\n"
             "  - {name: orders, targets: [\"http://127.0.0.1:%u\"]}\n"
             "routes:\n"
             "  - {path: /, respond: identity, anonymous: allow}\n"
             "  - {path: /profile/, respond: profile, require: {scopes: [profile]}}\n"
             "  - {path: /orders/*, upstream: orders, require: {scopes: [\"orders:read\"]}}\n"
             "log: {format: text}\n",
             dev->listen, dev_issuer_url(dev->issuer), web_port(dev->echo));
    int r = config_parse(buf_span(&yaml), "the built-in configuration", &config, &report);
    config_report_print(&report, "the built-in configuration", stderr);
    config_report_done(&report);
    buf_done(&yaml);
    return r < 0 ? NULL : config;
}

static void print_line(const struct dev *dev, const char *what, const char *path,
                       const char *form) {
    printf("# %s\n", what);
    if (form)
        printf("curl -si http://%s%s -H \"Authorization: Bearer $(curl -s %s/token "
               "-H 'Accept: text/plain' -d grant_type=client_credentials %s)\"\n\n",
               dev->listen, path, dev_issuer_url(dev->issuer), form);
    else
        printf("curl -si http://%s%s\n\n", dev->listen, path);
}

static void print_lines(void *argument) {
    const struct dev *dev = argument;

    printf("\nbearerd listens on http://%s; a throwaway issuer on %s, an echo upstream on "
           "http://127.0.0.1:%u.\nPaste these into another terminal; Ctrl-C ends it all.\n\n",
           dev->listen, dev_issuer_url(dev->issuer), web_port(dev->echo));
    print_line(dev, "nobody in particular: the route lets anonymous requests through", "/", NULL);
    print_line(dev, "a valid token: who is calling", "/", "-d scope=openid");
    print_line(dev, "a valid token with the scope that the route wants", "/profile/",
               "-d 'scope=openid profile email'");
    print_line(dev, "the same, signed with ES256", "/profile/",
               "-d 'scope=openid profile' -d alg=ES256");
    print_line(dev, "a token that expired an hour ago", "/profile/",
               "-d 'scope=openid profile' -d expires_in=-3600");
    print_line(dev, "a token that lacks the scope", "/profile/", "-d scope=openid");
    print_line(dev, "no token where one is needed", "/profile/", NULL);
    print_line(dev, "passed on to an API behind the gate, which echoes what it got", "/orders/7",
               "-d 'scope=openid orders:read'");
    fflush(stdout);
}

static bool read_options(int argc, char **argv, struct dev *dev, int *ret_exit) {
    static const struct option options[] = {
        {"listen", required_argument, NULL, 'l'}, {"help", no_argument, NULL, 'h'}, {0}};
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'l') {
            dev->listen = optarg;
            continue;
        }
        *ret_exit = option == 'h' ? EXIT_SUCCESS : 2;
        fputs(help, option == 'h' ? stdout : stderr);
        return false;
    }
    if (optind == argc) return true;
    *ret_exit = 2;
    fputs(help, stderr);
    return false;
}

/* The threads of the helpers must leave signals to the main thread. */
static void block_signals(void) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
}

int dev_main(int argc, char **argv) {
    struct dev dev = {.listen = "127.0.0.1:8080"};
    struct err_text why;
    int code;

    if (!read_options(argc, argv, &dev, &code)) return code;
    block_signals();
    dev.echo = echo_start();
    if (!dev.echo || dev_issuer_start(&dev.issuer, &why) < 0) {
        fprintf(stderr, "bearerd: cannot start the development helpers\n");
        web_stop(dev.echo);
        return EXIT_FAILURE;
    }
    code = server_run(load, &dev, print_lines);
    dev_issuer_stop(dev.issuer);
    web_stop(dev.echo);
    return code;
}
