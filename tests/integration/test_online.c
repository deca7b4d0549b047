/*
 * "bearerd check --online" against issuers, proxies and networks that are well or ill: every line
 * of what it says is compared, with times, dates, ports and sizes masked.
 */
#include <arpa/inet.h>
#include <regex.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/attr.h"
#include "tests/support/certificate.h"
#include "tests/support/daemon.h"
#include "tests/support/issuer.h"
#include "tests/support/mint.h"
#include "tests/support/scene.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#define DISCOVERY "http://127.0.0.1:PORT/.well-known/openid-configuration"
#define TLS_DISCOVERY "https://127.0.0.1:PORT/.well-known/openid-configuration"
#define STORE_ADVICE " (which stands in for the system's CAs: it must hold all that are needed)\n"
#define MORE "                            "
#define PASSWORD "s3cret-of-the-proxy"

/* The lines of an issuer that is well, behind the way to it. */
#define RESOLVED "  ok    resolve    T ms  127.0.0.1 is an address\n"
#define CONNECTED RESOLVED "  ok    connect    T ms  127.0.0.1:PORT\n"
#define KEYS_OF(base)                                                                              \
    "  ok    discovery  T ms  " base "/.well-known/openid-configuration: status 200, N bytes\n"    \
    "  ok    issuer              is the one configured\n"                                          \
    "  ok    jwks       T ms  " base "/jwks: status 200, N bytes\n"                                \
    "  ok    key                 kid \"k1\", EC, for ES256\n"
#define FINE "the issuer is fine\n"
#define FAILED(base, step) "1 of 1 issuer failed: " base " (" step ")\n"

/* --- running it ------------------------------------------------------------------------------ */

/* Every match of pattern becomes new. Takes text. */
static char *mask(char *text, const char *pattern, const char *new) {
    char *out = strdup("");
    const char *at = text;
    regex_t regex;
    regmatch_t match;

    ck_assert_int_eq(regcomp(&regex, pattern, REG_EXTENDED), 0);
    while (regexec(&regex, at, 1, &match, 0) == 0 && match.rm_eo > match.rm_so) {
        char *longer = scratch_text("%s%.*s%s", out, (int)match.rm_so, at, new);
        free(out);
        out = longer;
        at += match.rm_eo;
    }
    char *whole = scratch_text("%s%s", out, at);
    regfree(&regex);
    free(out);
    free(text);
    return whole;
}

static char *mask_all(char *text) {
    static const char *const masks[][2] = {
        {" +[0-9]+ ms  ", "    T ms  "},
        {"discovery +T", "discovery  T"},
        {"resolve +T", "resolve    T"},
        {"connect +T", "connect    T"},
        {"proxy +T", "proxy      T"},
        {"jwks +T", "jwks       T"},
        {"file +T", "file       T"},
        {"tls +T", "tls        T"},
        {"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]+Z", "DATE"},
        {":[0-9]{4,5}", ":PORT"},
        {"[0-9]+ bytes", "N bytes"},
        {"status 407", "status 401"}, /* versions of tinyproxy differ */
        {", in [0-9]+ d( [0-9]+ h)?", ", in TIME"},
        {", in [0-9]+ h( [0-9]+ min)?", ", in TIME"},
        {", [0-9]+ d( [0-9]+ h)? ago", ", TIME ago"},
        {"\\(/[^)]*\\)", "(FILE)"},
        {"[0-9]+ min( [0-9]+ s)?", "M min"},
    };
    for (size_t i = 0; i < ARRAY_LEN(masks); i++) text = mask(text, masks[i][0], masks[i][1]);
    return text;
}

/* What "bearerd check -c FILE" with these further arguments writes, FILE holding yaml. */
static char *run(const char *yaml, const char *const *environment, const char *const more[],
                 int *ret_code, char **ret_errors) {
    char *folder = scratch_new(), *path = scratch_file(folder, "gate.yaml", span_of(yaml));
    char *program = daemon_program();
    const char *argv[12] = {program, "check", "-c", path};

    for (size_t i = 0; more[i]; i++) argv[4 + i] = more[i];
    struct process *process = process_start(argv, environment);
    *ret_code = process_wait_exit(process, 15000);
    ck_assert_int_ne(*ret_code, PROCESS_RUNNING);
    char *text = process_output(process);
    *ret_errors = process_errors(process);
    process_free(process);
    free(program);
    free(path);
    free(folder);
    return text;
}

static void expect(const char *what, const char *yaml, const char *const *environment, int code,
                   const char *expected) {
    static const char *const online[] = {"--online", NULL};
    int came;
    char *errors, *text = run(yaml, environment, online, &came, &errors);

    ck_assert_msg(!strstr(text, PASSWORD), "%s: the password is told: %s", what, text);
    char *first_end = strchr(text, '\n');
    ck_assert_msg(first_end && strstr(text, ": the configuration is good\n"), "%s: %s%s", what,
                  text, errors);
    char *masked = mask_all(strdup(first_end + 1));
    ck_assert_msg(strcmp(masked, expected) == 0 && came == code && !*errors,
                  "%s: exit %d, expected %d\n%s%s\nexpected:\n%s", what, came, code, masked, errors,
                  expected);
    free(masked);
    free(text);
    free(errors);
}

static char *yaml_for(const char *url, const char *more, const char *rest) {
    char *one = daemon_yaml(url, more);
    char *yaml =
        scratch_text("%sroutes: [{path: /, respond: identity, anonymous: allow}]\n%s", one, rest);
    free(one);
    return yaml;
}

/* What is said about an issuer of the given kind; rest is further configuration. */
static void expect_of(struct issuer *issuer, const char *rest, const char *const *environment,
                      int code, const char *expected) {
    char *yaml = yaml_for(issuer_url(issuer), "", rest);
    expect(issuer_url(issuer), yaml, environment, code, expected);
    free(yaml);
}

static struct issuer *start_issuer(enum issuer_tls tls) {
    struct issuer *issuer = issuer_start(tls);
    char *keys = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", "ES256"));
    issuer_serve_keys(issuer, keys);
    free(keys);
    return issuer;
}

static char *trust(const char *more) {
    return scratch_text("fetch: {ca_file: \"%s\"%s}\n", certificate_authority_file(), more);
}

/* --- well ------------------------------------------------------------------------------------ */

TEST(a_good_issuer_is_fine_over_http_and_https) {
    struct issuer *plain = start_issuer(ISSUER_PLAIN), *tls = start_issuer(ISSUER_TLS);
    char *rest = trust("");
    expect_of(plain, "", NULL, 0,
              "http://127.0.0.1:PORT\n" CONNECTED KEYS_OF("http://127.0.0.1:PORT") FINE);
    expect_of(tls, rest, NULL, 0,
              "https://127.0.0.1:PORT\n" CONNECTED
              "  warn  tls        T ms  TLSv1.3; CN=bearerd test server, issued by CN=bearerd test "
              "authority, expires DATE, in TIME\n" KEYS_OF(
                  "https://127.0.0.1:PORT") "the issuer is fine; 1 warning\n");
    free(rest);
    issuer_stop(tls);
    issuer_stop(plain);
}

TEST(a_key_set_on_another_host_has_a_way_of_its_own) {
    struct issuer *issuer = start_issuer(ISSUER_PLAIN), *other = start_issuer(ISSUER_PLAIN);
    char *document = scratch_text("{\"issuer\":\"%s\",\"jwks_uri\":\"http://localhost:%d/jwks\"}",
                                  issuer_url(issuer), issuer_port(other));
    issuer_answer(issuer, ISSUER_DISCOVERY, 200, document);
    char *yaml = yaml_for(issuer_url(issuer), "", ""), *errors;
    int code;
    char *text = mask_all(run(yaml, NULL, (const char *const[]){"--online", NULL}, &code, &errors));
    ck_assert_int_eq(code, 0);
    ck_assert_msg(
        strstr(text, "  ok    issuer              is the one configured\n"
                     "  ok    resolve    T ms  localhost: ") != NULL &&
            strstr(text, "  ok    jwks       T ms  http://localhost:PORT/jwks: status 200"),
        "%s", text);
    free(text), free(errors), free(yaml), free(document);
    issuer_stop(other);
    issuer_stop(issuer);
}

TEST(a_redirect_is_told_and_counts_no_connection_twice) {
    struct issuer *issuer = start_issuer(ISSUER_PLAIN);
    char *keys = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", "ES256"));
    issuer_answer(issuer, "/real", 200, keys);
    issuer_set(issuer, ISSUER_JWKS,
               &(struct issuer_behaviour){.status = 302, .headers = "Location: /real\r\n"});
    expect_of(issuer, "", NULL, 0,
              "http://127.0.0.1:PORT\n" CONNECTED "  ok    discovery  T ms  " DISCOVERY
              ": status 200, N bytes\n"
              "  ok    issuer              is the one configured\n"
              "  ok    jwks       T ms  http://127.0.0.1:PORT/jwks, redirected to "
              "http://127.0.0.1:PORT/real: status 200, N bytes\n"
              "  ok    key                 kid \"k1\", EC, for ES256\n" FINE);
    ck_assert_int_eq(issuer_connections(issuer), 1);
    free(keys);
    issuer_stop(issuer);
}

TEST(keys_of_a_file_are_told) {
    char *jwks = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", "ES256"),
                           mint_jwk(mint_key(MINT_ED25519), NULL, NULL));
    char *folder = scratch_new(), *path = scratch_file(folder, "keys.json", span_of(jwks));
    char *more = scratch_text("jwks_file: \"%s\"", path);
    char *yaml = yaml_for("https://idp.example", more, "");
    char *expected = scratch_text("https://idp.example\n"
                                  "  ok    file       T ms  %s: N bytes\n"
                                  "  ok    key                 kid \"k1\", EC, for ES256\n"
                                  "  ok    key                 no kid, OKP, for EdDSA\n" FINE,
                                  path);
    expect("jwks_file", yaml, NULL, 0, expected);
    free(expected), free(yaml), free(more), free(path), free(folder), free(jwks);
}

/* --- certificates ---------------------------------------------------------------------------- */

TEST_WITHIN(each_bad_certificate_has_its_reason_and_its_advice, 60) {
    static const struct {
        enum issuer_tls tls;
        bool trusted;
        const char *lines;
    } rows[] = {
        {ISSUER_TLS_INSPECTED, true,
         "  FAIL  tls        T ms  the chain ends in O=Zscaler Inc.,CN=Zscaler Root CA, which is "
         "not "
         "in fetch.ca_file (FILE)\n" MORE
         "certificate 1: CN=bearerd test server, issued by O=Zscaler Inc.,CN=Zscaler Root CA\n" MORE
         "certificate 2: O=Zscaler Inc.,CN=Zscaler Root CA, issued by O=Zscaler Inc.,CN=Zscaler "
         "Root "
         "CA  <- this one\n" MORE
         "do: Zscaler seems to inspect TLS on the way here, and answers in the issuer's place with "
         "certificates of its own; have 127.0.0.1 left out of that, or get its root certificate "
         "from those who run it and add it to the file of fetch.ca_file" STORE_ADVICE},
        {ISSUER_TLS, false,
         "  FAIL  tls        T ms  the certificate of CN=bearerd test server was issued by "
         "CN=bearerd test authority, which the server does not show and which is not in the "
         "system's CA store\n" MORE
         "certificate 1: CN=bearerd test server, issued by CN=bearerd test authority  <- this "
         "one\n" MORE
         "do: CN=bearerd test authority is a private CA, or a firewall that inspects TLS: get its "
         "certificate from those who run it and put it into the file of fetch.ca_file; if it is a "
         "public intermediate, the server must send it along" STORE_ADVICE},
        {ISSUER_TLS_LACKING, true,
         "  FAIL  tls        T ms  the certificate of CN=bearerd test server was issued by "
         "CN=bearerd test intermediate, which the server does not show and which is not in "
         "fetch.ca_file (FILE)\n" MORE
         "certificate 1: CN=bearerd test server, issued by CN=bearerd test intermediate  <- this "
         "one\n" MORE
         "do: an intermediate certificate is missing: the server must send that of CN=bearerd test "
         "intermediate along with its own; until it does, put it into the file of "
         "fetch.ca_file" STORE_ADVICE},
        {ISSUER_TLS_SELF_SIGNED, true,
         "  FAIL  tls        T ms  the certificate of CN=bearerd test server is self-signed, and "
         "not "
         "in fetch.ca_file (FILE)\n" MORE
         "certificate 1: CN=bearerd test server, issued by CN=bearerd test server  <- this "
         "one\n" MORE
         "do: if it is not the issuer's, something else answers in its place; if it is, as its "
         "operators must confirm, put it into the file of fetch.ca_file" STORE_ADVICE},
        {ISSUER_TLS_EXPIRED, true,
         "  FAIL  tls        T ms  the certificate of CN=bearerd test server expired at DATE, TIME "
         "ago\n" MORE
         "certificate 1: CN=bearerd test server, issued by CN=bearerd test authority  <- this "
         "one\n" MORE
         "from the store, 2: CN=bearerd test authority, issued by CN=bearerd test authority\n" MORE
         "do: whoever runs the server must renew it; but look at the clock of this machine first, "
         "which says DATE\n"},
        {ISSUER_TLS_EARLY, true,
         "  FAIL  tls        T ms  the certificate of CN=bearerd test server is not valid before "
         "DATE, in TIME\n" MORE
         "certificate 1: CN=bearerd test server, issued by CN=bearerd test authority  <- this "
         "one\n" MORE
         "from the store, 2: CN=bearerd test authority, issued by CN=bearerd test authority\n" MORE
         "do: the clock of this machine is probably wrong, it says DATE: look at timedatectl\n"},
        {ISSUER_TLS_WRONG_NAME, true,
         "  FAIL  tls        T ms  the certificate of CN=bearerd test server is for other.example, "
         "not for 127.0.0.1\n" MORE
         "certificate 1: CN=bearerd test server, issued by CN=bearerd test authority  <- this "
         "one\n" MORE
         "from the store, 2: CN=bearerd test authority, issued by CN=bearerd test authority\n" MORE
         "do: use a name in the issuer's URL that its certificate has, or have a certificate for "
         "127.0.0.1 made; or another server answers at this address\n"},
    };
    char *rest = trust("");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct issuer *issuer = start_issuer(rows[i].tls);
        char *expected = scratch_text("https://127.0.0.1:PORT\n" CONNECTED
                                      "%s" FAILED("https://127.0.0.1:PORT", "tls"),
                                      rows[i].lines);
        expect_of(issuer, rows[i].trusted ? rest : "", NULL, 1, expected);
        ck_assert_int_eq(issuer_hits(issuer, ISSUER_DISCOVERY), 0);
        free(expected);
        issuer_stop(issuer);
    }
    free(rest);
}

TEST_WITHIN(a_handshake_that_fails_says_why, 40) {
    static const struct {
        enum issuer_tls tls;
        const char *words, *advice;
    } rows[] = {
        {ISSUER_PLAIN, "wrong version number",
         "do: what listens there does not speak TLS: is the port one for http?"},
        {ISSUER_TLS_OLD, "protocol",
         "do: the server knows TLS older than 1.2 only, which is never used"},
        {ISSUER_TLS_RESET, "reset",
         "do: the server, or a firewall that looks at names in TLS, cut the connection"},
    };
    char *rest = trust("");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct issuer *issuer = start_issuer(rows[i].tls);
        char *url = scratch_text("https://127.0.0.1:%d", issuer_port(issuer)), *errors;
        char *yaml = yaml_for(url, "", rest);
        int code;
        char *text = run(yaml, NULL, (const char *const[]){"--online", NULL}, &code, &errors);
        ck_assert_msg(code == 1 && strstr(text, "  FAIL  tls  ") && strstr(text, rows[i].words) &&
                          strstr(text, rows[i].advice),
                      "row %zu: %s%s", i, text, errors);
        free(text), free(errors), free(yaml), free(url);
        issuer_stop(issuer);
    }
    free(rest);
}

/* --- the network ----------------------------------------------------------------------------- */

/* A port of 127.0.0.1 whose queue of connections is full, so that the next one hangs. */
static int full_port(int fds[4]) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;

    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert(bind(fds[0], (struct sockaddr *)&address, len) == 0 && listen(fds[0], 0) == 0 &&
              getsockname(fds[0], (struct sockaddr *)&address, &len) == 0);
    for (int i = 1; i < 4; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        ck_assert_int_ge(fds[i], 0);
        (void)!connect(fds[i], (struct sockaddr *)&address, len);
    }
    return ntohs(address.sin_port);
}

TEST_WITHIN(a_hang_is_told_with_its_step, 40) {
    static const char brief[] = "fetch: {connect_timeout: 1s, timeout: 1500ms}\n";
    int fds[4], port = full_port(fds);
    char *url = scratch_text("http://127.0.0.1:%d", port), *yaml = yaml_for(url, "", brief);
    expect("TCP", yaml, NULL, 1,
           "http://127.0.0.1:PORT\n" RESOLVED
           "  FAIL  connect    T ms  127.0.0.1:PORT: hangs, given up\n" MORE
           "do: a firewall drops it without a word, or the machine is down; an outbound proxy may "
           "be needed (fetch.proxy)\n" FAILED("http://127.0.0.1:PORT", "connect"));
    for (int i = 0; i < 4; i++) close(fds[i]);
    free(yaml), free(url);

    struct issuer *issuer = start_issuer(ISSUER_PLAIN);
    issuer_set(issuer, ISSUER_JWKS, &(struct issuer_behaviour){.act = ISSUER_HANG});
    expect_of(issuer, brief, NULL, 1,
              "http://127.0.0.1:PORT\n" CONNECTED "  ok    discovery  T ms  " DISCOVERY
              ": status 200, N bytes\n"
              "  ok    issuer              is the one configured\n"
              "  FAIL  jwks       T ms  http://127.0.0.1:PORT/jwks: hangs, given up\n" MORE
              "do: the server took the request and does not answer, or too slowly: it is stuck, or "
              "what it needs is\n" FAILED("http://127.0.0.1:PORT", "jwks"));
    issuer_stop(issuer);
}

TEST(a_server_that_never_speaks_tls_hangs_there) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert(bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, 5) == 0 &&
              getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    char *url = scratch_text("https://127.0.0.1:%d", ntohs(address.sin_port));
    char *yaml = yaml_for(url, "", "fetch: {connect_timeout: 1s}\n");
    expect("TLS", yaml, NULL, 1,
           "https://127.0.0.1:PORT\n" CONNECTED "  FAIL  tls        T ms  hangs, given up\n" MORE
           "do: the port is open but nobody speaks TLS: a firewall that looks into it, or a server "
           "that is stuck\n" FAILED("https://127.0.0.1:PORT", "tls"));
    close(fd);
    free(yaml), free(url);
}

TEST(a_refused_port_and_an_unknown_name_are_told) {
    char *url = scratch_text("http://127.0.0.1:%d", process_free_port());
    char *yaml = yaml_for(url, "", "");
    expect("refused", yaml, NULL, 1,
           "http://127.0.0.1:PORT\n" RESOLVED
           "  FAIL  connect    T ms  127.0.0.1:PORT: Connection refused\n" MORE
           "do: nothing listens on that port, or a firewall refuses; look at the port and whether "
           "the server runs\n" FAILED("http://127.0.0.1:PORT", "connect"));
    free(yaml), free(url);

    yaml = yaml_for("https://idp.invalid", "", "");
    char *errors;
    int code;
    char *text = run(yaml, NULL, (const char *const[]){"--online", NULL}, &code, &errors);
    /* Which of the two it is depends on whether this machine has a name server. */
    ck_assert_msg(code == 1 && strstr(text, "  FAIL  resolve  ") &&
                      (strstr(text, "idp.invalid: Name or service not known\n") ||
                       strstr(text, "idp.invalid: No address associated with hostname\n") ||
                       strstr(text, "idp.invalid: Temporary failure in name resolution\n")) &&
                      strstr(text, "1 of 1 issuer failed: https://idp.invalid (resolve)\n"),
                  "%s%s", text, errors);
    free(text), free(errors), free(yaml);
}

/* --- a proxy --------------------------------------------------------------------------------- */

/* tinyproxy on a port of its own, with these further lines of configuration. */
static struct process *start_proxy(const char *lines, int *ret_port) {
    if (access("/usr/bin/tinyproxy", X_OK) != 0) test_skip("tinyproxy is not installed");
    *ret_port = process_free_port();
    char *folder = scratch_new();
    char *text = scratch_text("Port %d\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 10\n"
                              "LogLevel Error\n%s",
                              *ret_port, lines);
    char *path = scratch_file(folder, "tinyproxy.conf", span_of(text));
    struct process *process =
        process_start((const char *const[]){"tinyproxy", "-d", "-c", path, NULL}, NULL);
    ck_assert(process_wait_port(process, *ret_port, 10000));
    free(path), free(text), free(folder);
    return process;
}

/* The issuer through a proxy that the environment names with a password. */
static void expect_through(struct issuer *issuer, int port, int code, const char *lines) {
    char *rest = trust("");
    char *variable = scratch_text("https_proxy=http://gate:" PASSWORD "@127.0.0.1:%d", port);
    expect_of(issuer, rest, (const char *const[]){variable, NULL}, code, lines);
    free(variable);
    free(rest);
}

TEST_WITHIN(an_outbound_proxy_is_told_without_its_password, 40) {
    int port;
    struct process *proxy = start_proxy("BasicAuth gate " PASSWORD "\n", &port);
    struct issuer *issuer = start_issuer(ISSUER_TLS);
    expect_through(
        issuer, port, 0,
        "https://127.0.0.1:PORT\n" CONNECTED
        "  ok    proxy      T ms  http://***@127.0.0.1:PORT, from https_proxy: CONNECT "
        "127.0.0.1:PORT: status 200\n"
        "  warn  tls        T ms  TLSv1.3; CN=bearerd test server, issued by CN=bearerd test "
        "authority, expires DATE, in TIME\n" KEYS_OF(
            "https://127.0.0.1:PORT") "the issuer is fine; 1 warning\n");
    ck_assert_int_eq(issuer_connections(issuer), 1);
    issuer_stop(issuer);
    process_free(proxy);
}

TEST_WITHIN(a_proxy_that_refuses_is_told_with_its_status, 40) {
    static const struct {
        const char *lines, *status, *advice;
    } rows[] = {
        {"ConnectPort 1\n", "403",
         "the proxy forbids this host: have it allowed, or name it in fetch.no_proxy"},
        {"BasicAuth gate another\n", "401",
         "the proxy wants credentials: put them into its URL, in the environment's variable"},
    };
    struct issuer *issuer = start_issuer(ISSUER_TLS);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int port;
        struct process *proxy = start_proxy(rows[i].lines, &port);
        char *expected =
            scratch_text("https://127.0.0.1:PORT\n" CONNECTED
                         "  FAIL  proxy      T ms  http://***@127.0.0.1:PORT, from https_proxy: "
                         "CONNECT 127.0.0.1:PORT: status %s\n" MORE
                         "do: %s\n" FAILED("https://127.0.0.1:PORT", "proxy"),
                         rows[i].status, rows[i].advice);
        expect_through(issuer, port, 1, expected);
        free(expected);
        process_free(proxy);
    }
    ck_assert_int_eq(issuer_connections(issuer), 0);
    issuer_stop(issuer);
}

TEST_WITHIN(a_proxy_that_cannot_be_reached_or_used_is_told, 40) {
    struct issuer *issuer = start_issuer(ISSUER_TLS);
    expect_through(issuer, process_free_port(), 1,
                   "https://127.0.0.1:PORT\n" RESOLVED
                   "  FAIL  connect    T ms  127.0.0.1:PORT: Connection refused\n" MORE
                   "do: nothing listens on that port, or a firewall refuses; look at the port and "
                   "whether the server runs\n"
                   "  note  proxy               that is the outbound proxy, "
                   "http://***@127.0.0.1:PORT, from https_proxy\n" FAILED("https://127.0.0.1:PORT",
                                                                          "connect"));
    expect_of(issuer, "", (const char *const[]){"all_proxy=odd://gate:" PASSWORD "@h:9999", NULL},
              1,
              "https://127.0.0.1:PORT\n"
              "  FAIL  proxy               odd://***@h:PORT, from all_proxy: cannot be used\n" MORE
              "do: write http://HOST:PORT; special characters in a password must be "
              "percent-encoded\n" FAILED("https://127.0.0.1:PORT", "proxy"));
    issuer_stop(issuer);
}

TEST_WITHIN(fetch_proxy_serves_plain_http_and_no_proxy_goes_around_it, 40) {
    int port;
    struct process *proxy = start_proxy("", &port);
    struct issuer *issuer = start_issuer(ISSUER_PLAIN);
    char *rest = scratch_text("fetch: {proxy: \"http://127.0.0.1:%d\"}\n", port);
    /* tinyproxy closes the connection behind each answer. */
    expect_of(issuer, rest, NULL, 0,
              "http://127.0.0.1:PORT\n" CONNECTED
              "  ok    proxy               http://127.0.0.1:PORT, from fetch.proxy\n"
              "  ok    discovery  T ms  " DISCOVERY ": status 200, N bytes\n"
              "  ok    issuer              is the one configured\n" CONNECTED
              "  ok    proxy               http://127.0.0.1:PORT, from fetch.proxy\n"
              "  ok    jwks       T ms  http://127.0.0.1:PORT/jwks: status 200, N bytes\n"
              "  ok    key                 kid \"k1\", EC, for ES256\n" FINE);
    free(rest);
    rest = scratch_text(
        "fetch: {proxy: \"http://127.0.0.1:%d\", no_proxy: \"a.example,127.0.0.1\"}\n", port);
    process_free(proxy);
    expect_of(issuer, rest, NULL, 0,
              "http://127.0.0.1:PORT\n" CONNECTED
              "  ok    proxy               http://127.0.0.1:PORT of fetch.proxy is not used: "
              "no_proxy names 127.0.0.1\n" KEYS_OF("http://127.0.0.1:PORT") FINE);
    free(rest);
    issuer_stop(issuer);
}

/* --- answers --------------------------------------------------------------------------------- */

static void answer_naming(struct issuer *issuer, const char *suffix) {
    char *document = scratch_text("{\"issuer\":\"%s%s\",\"jwks_uri\":\"%s%s\"}", issuer_url(issuer),
                                  suffix, issuer_url(issuer), ISSUER_JWKS);
    issuer_answer(issuer, ISSUER_DISCOVERY, 200, document);
    free(document);
}

TEST(an_issuer_that_names_itself_otherwise_is_told_as_in_the_log) {
    static const struct {
        const char *suffix, *hint;
    } rows[] = {
        {"/", ": only a slash at the end differs"},
        {"/oauth2/default", ": one is the organization's server, the other its custom server "
                            "/oauth2/default"},
        {"/other", ""},
    };
    struct issuer *issuer = start_issuer(ISSUER_PLAIN);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        answer_naming(issuer, rows[i].suffix);
        char *expected = scratch_text(
            "http://127.0.0.1:PORT\n" CONNECTED "  ok    discovery  T ms  " DISCOVERY
            ": status 200, N bytes\n"
            "  FAIL  issuer              the discovery document names the issuer "
            "\"http://127.0.0.1:PORT%s\" where \"http://127.0.0.1:PORT\" is configured%s; they "
            "must be equal to the letter\n" MORE
            "do: tokens carry the name that the issuer gives itself: configure that one, if it is "
            "the issuer that you mean\n" FAILED("http://127.0.0.1:PORT", "issuer"),
            rows[i].suffix, rows[i].hint);
        expect_of(issuer, "", NULL, 1, expected);
        free(expected);
    }
    ck_assert_int_eq(issuer_hits(issuer, ISSUER_JWKS), 0);
    issuer_stop(issuer);
}

#define PORTAL_ADVICE                                                                              \
    MORE                                                                                           \
        "do: a login page, a captive portal or a firewall answers in place of the document: look " \
        "at the URL, and let this machine through without a login\n"

TEST(an_answer_that_is_no_document_says_what_it_is) {
    static const struct {
        struct issuer_behaviour behaviour;
        const char *lines;
    } rows[] = {
        {{.headers = "Content-Type: text/html\r\n",
          .body = SPAN_LITERAL("<!DOCTYPE html><html><title>\n Sign \x1b[2J in</title></html>")},
         ": status 200, but no JSON\n" MORE
         "it is an HTML page, titled \"Sign ?[2J in\"\n" PORTAL_ADVICE},
        {{.status = 403,
          .headers = "Content-Type: text/html\r\n",
          .body = SPAN_LITERAL("<html><body>Blocked</body></html>")},
         ": the answer has status 403 where 200 was expected\n" MORE
         "it is an HTML page\n" PORTAL_ADVICE},
        {{.status = 404},
         ": the answer has status 404 where 200 was expected\n" MORE
         "do: there is nothing at that URL: look for a typing error, a path that is missing, or "
         "set "
         "discovery or jwks_uri where the issuer keeps them elsewhere\n"},
        {{.status = 302, .headers = "Location: http://portal.example/login?for=secret\r\n"},
         ": redirected to another scheme, host or port, which is never followed\n" MORE
         "it leads to http://portal.example/login\n" MORE
         "do: a login page or captive portal stands before the issuer, or its URL has changed: "
         "configure the URL that it has now\n"},
        {{.body = SPAN_LITERAL("{}")},
         ": the discovery document has no \"issuer\" that is a string\n"},
        {{.body = SPAN_LITERAL("{")}, ": the discovery document is not valid JSON (at byte 1)\n"},
    };
    struct issuer *issuer = start_issuer(ISSUER_PLAIN);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        issuer_set(issuer, ISSUER_DISCOVERY, &rows[i].behaviour);
        char *expected =
            scratch_text("http://127.0.0.1:PORT\n" CONNECTED "  FAIL  discovery  T ms  " DISCOVERY
                         "%s" FAILED("http://127.0.0.1:PORT", "discovery"),
                         rows[i].lines);
        expect_of(issuer, "", NULL, 1, expected);
        free(expected);
    }
    issuer_stop(issuer);
}

TEST(unusable_keys_are_told_with_their_reasons) {
    static const struct {
        const char *keys, *lines;
        int code;
    } rows[] = {
        {"{\"keys\":[]}",
         "  FAIL  keys                the key set holds no usable key (0 unusable)\n", 1},
        {"{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\"},{\"kty\":\"RSA\",\"use\":\"enc\"}]}",
         "  note  key                 kid \"a\", the 1. in the set, is skipped: it has a \"kty\" "
         "other than RSA, EC and OKP\n"
         "  note  key                 no kid, the 2. in the set, is skipped: it has a \"use\" "
         "other "
         "than \"sig\"\n"
         "  FAIL  keys                the key set holds no usable key (2 unusable; the first has a "
         "\"kty\" other than RSA, EC and OKP)\n",
         1},
        {NULL,
         "  ok    key                 kid \"k1\", EC, for ES256\n"
         "  note  key                 kid \"\\x\", EC, for ES384: not among the issuer's "
         "\"algorithms\" here\n"
         "  note  key                 kid \"weak\", the 3. in the set, is skipped: it is an RSA "
         "key "
         "of 1024 bits; 2048 to 8192 are accepted\n",
         0},
    };
    char *mixed = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", "ES256"),
                            mint_jwk(mint_key(MINT_P384), "\\x", "ES384"),
                            mint_jwk(mint_key(MINT_RSA_1024), "weak", NULL));
    struct issuer *issuer = start_issuer(ISSUER_PLAIN);
    char *yaml = yaml_for(issuer_url(issuer), "algorithms: [ES256]", "");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        issuer_serve_keys(issuer, rows[i].keys ? rows[i].keys : mixed);
        char *expected = scratch_text(
            "http://127.0.0.1:PORT\n" CONNECTED "  ok    discovery  T ms  " DISCOVERY
            ": status 200, N bytes\n"
            "  ok    issuer              is the one configured\n"
            "  ok    jwks       T ms  http://127.0.0.1:PORT/jwks: status "
            "200, N bytes\n%s%s",
            rows[i].lines, rows[i].code ? FAILED("http://127.0.0.1:PORT", "keys") : FINE);
        expect(rows[i].lines, yaml, NULL, rows[i].code, expected);
        free(expected);
    }
    free(yaml), free(mixed);
    issuer_stop(issuer);
}

TEST(keys_for_other_algorithms_only_are_a_failure) {
    struct issuer *issuer = start_issuer(ISSUER_PLAIN);
    char *yaml = yaml_for(issuer_url(issuer), "algorithms: [RS256]", "");
    expect("algorithms", yaml, NULL, 1,
           "http://127.0.0.1:PORT\n" CONNECTED "  ok    discovery  T ms  " DISCOVERY
           ": status 200, N bytes\n"
           "  ok    issuer              is the one configured\n"
           "  ok    jwks       T ms  http://127.0.0.1:PORT/jwks: status 200, N bytes\n"
           "  note  key                 kid \"k1\", EC, for ES256: not among the issuer's "
           "\"algorithms\" here\n"
           "  FAIL  keys                no key is for an algorithm that \"algorithms\" of this "
           "issuer allows\n" FAILED("http://127.0.0.1:PORT", "keys"));
    free(yaml);
    issuer_stop(issuer);
}

/* --- the clock ------------------------------------------------------------------------------- */

/* The discovery document again, with a clock that is so many seconds off and a cache's Age. */
static void skew(struct issuer *issuer, long seconds, long age) {
    char date[64];
    time_t then = time(NULL) + seconds - age;
    struct tm parts;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&then, &parts));
    char *headers = scratch_text("Date: %s\r\nAge: %ld\r\n", date, age);
    char *document = scratch_text("{\"issuer\":\"%s\",\"jwks_uri\":\"%s%s\"}", issuer_url(issuer),
                                  issuer_url(issuer), ISSUER_JWKS);
    issuer_set(issuer, ISSUER_DISCOVERY,
               &(struct issuer_behaviour){.headers = headers, .body = span_of(document)});
    free(document);
    free(headers);
}

TEST(a_clock_that_differs_is_told_and_fails_where_tokens_would) {
    static const struct {
        long seconds, age;
        int code;
        const char *line, *end;
    } rows[] = {
        {0, 0, 0, "  ok    clock               agrees with the issuer's\n", FINE},
        {0, 7200, 0, "  ok    clock               agrees with the issuer's\n", FINE},
        {3630, 0, 1,
         "  FAIL  clock               this machine's is 1 h behind the issuer's; leeway is 60 s, "
         "so "
         "new tokens are refused as issued in the future\n" MORE
         "do: look at timedatectl on this machine; where it is right, the issuer's clock is "
         "wrong\n",
         FAILED("http://127.0.0.1:PORT", "clock")},
        {-3690, 0, 1,
         "  FAIL  clock               this machine's is 1 h M min ahead of the issuer's; leeway is "
         "60 s, so tokens that live for 1 h or less are refused as expired\n" MORE
         "do: look at timedatectl on this machine; where it is right, the issuer's clock is "
         "wrong\n",
         FAILED("http://127.0.0.1:PORT", "clock")},
        {-210, 0, 0,
         "  warn  clock               this machine's is M min ahead of the issuer's; leeway is 60 "
         "s, so tokens that live for M min or less are refused as expired\n" MORE
         "do: look at timedatectl on this machine; where it is right, the issuer's clock is "
         "wrong\n",
         "the issuer is fine; 1 warning\n"},
    };
    struct issuer *issuer = start_issuer(ISSUER_PLAIN);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        skew(issuer, rows[i].seconds, rows[i].age);
        char *expected = scratch_text(
            "http://127.0.0.1:PORT\n" CONNECTED KEYS_OF("http://127.0.0.1:PORT") "%s%s",
            rows[i].line, rows[i].end);
        expect_of(issuer, "", NULL, rows[i].code, expected);
        free(expected);
    }
    issuer_stop(issuer);
}

/* --- several, and the command line ----------------------------------------------------------- */

TEST(issuers_are_told_in_the_order_of_the_file_whoever_ends_first) {
    struct issuer *slow = start_issuer(ISSUER_PLAIN), *fast = start_issuer(ISSUER_PLAIN);
    char *keys = MINT_JWKS(mint_jwk(mint_key(MINT_P256), "k1", "ES256"));
    issuer_set(slow, ISSUER_JWKS,
               &(struct issuer_behaviour){.body = span_of(keys), .interval_ms = 500});
    issuer_serve_keys(fast, "{\"keys\":[]}");
    char *yaml = scratch_text("issuers:\n  - {issuer: \"%s\", audiences: [a]}\n"
                              "  - {issuer: \"%s\", audiences: [a]}\n"
                              "routes: [{path: /, respond: identity, anonymous: allow}]\n",
                              issuer_url(slow), issuer_url(fast));
    expect("two", yaml, NULL, 1,
           "http://127.0.0.1:PORT\n" CONNECTED KEYS_OF(
               "http://127.0.0.1:PORT") "http://127.0.0.1:PORT\n" CONNECTED
                                        "  ok    discovery  T ms  " DISCOVERY
                                        ": status 200, N bytes\n"
                                        "  ok    issuer              is the one configured\n"
                                        "  ok    jwks       T ms  http://127.0.0.1:PORT/jwks: "
                                        "status 200, N bytes\n"
                                        "  FAIL  keys                the key set holds no usable "
                                        "key (0 unusable)\n"
                                        "1 of 2 issuers failed: http://127.0.0.1:PORT (keys)\n");

    int code;
    const char *const only[] = {"--online", "--issuer", issuer_url(slow), NULL};
    char *errors, *text = run(yaml, NULL, only, &code, &errors);
    ck_assert_msg(code == 0 && strstr(text, "the issuer is fine\n") &&
                      !strstr(text, issuer_url(fast)),
                  "%s%s", text, errors);
    free(text), free(errors), free(yaml), free(keys);
    issuer_stop(fast);
    issuer_stop(slow);
}

TEST_WITHIN(many_issuers_that_hang_are_asked_side_by_side, 40) {
    struct issuer *issuer = start_issuer(ISSUER_PLAIN);
    issuer_set(issuer, ISSUER_DISCOVERY, &(struct issuer_behaviour){.act = ISSUER_HANG});
    char *yaml =
        scratch_text("fetch: {timeout: 1s}\n"
                     "routes: [{path: /, respond: identity, anonymous: allow}]\nissuers:\n");
    for (int i = 0; i < 8; i++) {
        char *longer =
            scratch_text("%s  - {issuer: \"%s/%d\", discovery: \"%s%s\", "
                         "audiences: [a]}\n",
                         yaml, issuer_url(issuer), i, issuer_url(issuer), ISSUER_DISCOVERY);
        free(yaml);
        yaml = longer;
    }
    int code;
    long before = process_now_ms();
    char *errors;
    char *text = run(yaml, NULL, (const char *const[]){"--online", NULL}, &code, &errors);
    ck_assert_msg(code == 1 && strstr(text, "8 of 8 issuers failed: "), "%s%s", text, errors);
    if (!SCENE_SANITIZED) ck_assert_int_lt(process_now_ms() - before, 4000);
    free(text), free(errors), free(yaml);
    issuer_stop(issuer);
}

TEST(usage_and_configuration_come_first) {
    static const struct {
        const char *yaml; /* NULL: a good one */
        const char *more[4];
        int code;
        const char *errors;
    } rows[] = {
        {NULL, {"--online", "extra", NULL}, 2, "unexpected argument 'extra'"},
        {NULL, {"--online", "--issuer", NULL}, 2, "usage: bearerd check --online"},
        {NULL, {"--issuer", "https://idp.example", NULL}, 2, "usage: bearerd check"},
        {NULL, {"--online", "--nonsense", NULL}, 2, "usage: bearerd check --online"},
        {NULL,
         {"--online", "--issuer", "https://idp.example/", NULL},
         2,
         "there is no issuer 'https://idp.example/' in the configuration, which has:\n"
         "  https://idp.example (only a slash at the end differs)\n"},
        {"issuers: [{issuer: \"https://idp.example\"}]\n", {"--online", NULL}, 1, "audiences"},
    };
    char *good = yaml_for("https://idp.example", "", "");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int code;
        char *errors;
        char *text = run(rows[i].yaml ? rows[i].yaml : good, NULL, rows[i].more, &code, &errors);
        ck_assert_msg(code == rows[i].code && strstr(errors, rows[i].errors) &&
                          !strstr(text, "resolve"),
                      "row %zu: %d %s%s", i, code, text, errors);
        free(errors);
        free(text);
    }
    free(good);
}
