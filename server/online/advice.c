#include "server/online/advice.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdlib.h>

#include "common/ascii.h"
#include "common/clock.h"

/* Many issuers give tokens no longer than this; such a clock refuses theirs. */
#define USUAL_LIFETIME_S 300

/* --- who signed it --------------------------------------------------------------------------- */

static bool holds_nocase(const char *text, const char *word) {
    struct span rest = span_of(text), wanted = span_of(word);
    for (; rest.len >= wanted.len; rest = span_from(rest, 1))
        if (span_equal_nocase(span_until(rest, wanted.len), wanted)) return true;
    return false;
}

const char *advice_inspector(const struct chain *chain) {
    static const struct {
        const char *word, *name;
    } known[] = {
        {"zscaler", "Zscaler"},
        {"netskope", "Netskope"},
        {"goskope", "Netskope"},
        {"fortinet", "Fortinet"},
        {"fortigate", "Fortinet"},
        {"palo alto", "Palo Alto"},
        {"paloalto", "Palo Alto"},
        {"blue coat", "Blue Coat"},
        {"bluecoat", "Blue Coat"},
        {"proxysg", "Blue Coat"},
        {"umbrella", "Cisco Umbrella"},
        {"opendns", "Cisco Umbrella"},
        {"mitmproxy", "mitmproxy"},
        {"sophos", "Sophos"},
        {"check point", "Check Point"},
        {"checkpoint", "Check Point"},
        {"forcepoint", "Forcepoint"},
        {"websense", "Forcepoint"},
        {"sonicwall", "SonicWall"},
        {"watchguard", "WatchGuard"},
        {"fireware", "WatchGuard"},
        {"barracuda", "Barracuda"},
        {"mcafee", "McAfee"},
        {"skyhigh", "Skyhigh"},
        {"trend micro", "Trend Micro"},
        {"kaspersky", "Kaspersky"},
        {"portswigger", "Burp"},
        {"charles proxy", "Charles"},
        {"do_not_trust_fiddler", "Fiddler"},
        {"squid", "Squid"},
        {"gateway ca - cloudflare", "Cloudflare Gateway"},
        {"iboss", "iboss"},
        {"menlo security", "Menlo Security"},
        {"smoothwall", "Smoothwall"},
        {"untangle", "Untangle"},
    };
    for (size_t i = 0; i < chain->count; i++)
        for (size_t k = 0; k < ARRAY_LEN(known); k++)
            if (holds_nocase(chain->links[i].issuer, known[k].word)) return known[k].name;
    return NULL;
}

/* --- certificates ---------------------------------------------------------------------------- */

static void say_fault(const struct chain *chain, const struct advice_trust *trust,
                      struct buf *why) {
    const struct chain_link *link = &chain->links[chain->at];
    const struct chain_link *last = &chain->links[chain->count - 1];
    char when[CLOCK_TEXT_MAX], words[CLOCK_WORDS_MAX];

    switch (chain->fault) {
    case CHAIN_FINE:
        break;
    case CHAIN_EXPIRED:
        buf_addf(why, "the certificate of %s expired at %s, %s ago", link->subject,
                 clock_format(link->until, when), clock_words(trust->now - link->until, words));
        break;
    case CHAIN_NOT_YET_VALID:
        buf_addf(why, "the certificate of %s is not valid before %s, in %s", link->subject,
                 clock_format(link->from, when), clock_words(link->from - trust->now, words));
        break;
    case CHAIN_SELF_SIGNED:
        buf_addf(why, "the certificate of %s is self-signed, and not in %s", link->subject,
                 trust->store);
        break;
    case CHAIN_UNKNOWN_ROOT:
        buf_addf(why, "the chain ends in %s, which is not in %s", last->subject, trust->store);
        break;
    case CHAIN_UNKNOWN_ISSUER:
        buf_addf(why,
                 "the certificate of %s was issued by %s, which the server does not show and which "
                 "is not in %s",
                 last->subject, last->issuer, trust->store);
        break;
    case CHAIN_WRONG_HOST:
        buf_addf(why, "the certificate of %s is for %s, not for %s", chain->links[0].subject,
                 *chain->names ? chain->names : "no host at all (it has no subjectAltName)",
                 trust->host);
        break;
    case CHAIN_OTHER:
        buf_addf(why, "the certificate of %s is not accepted: %s", link->subject, chain->words);
        break;
    }
}

static bool is_of_unknown_authority(enum chain_fault fault) {
    return fault == CHAIN_SELF_SIGNED || fault == CHAIN_UNKNOWN_ROOT ||
           fault == CHAIN_UNKNOWN_ISSUER;
}

static void advise_authority(const struct chain *chain, const struct advice_trust *trust,
                             struct buf *advice) {
    const char *inspector = advice_inspector(chain);
    const struct chain_link *last = &chain->links[chain->count - 1];

    if (inspector)
        buf_addf(advice,
                 "%s seems to inspect TLS on the way here, and answers in the issuer's place with "
                 "certificates of its own; have %s left out of that, or get its root certificate "
                 "from those who run it and add it to the file of fetch.ca_file",
                 inspector, trust->host);
    else if (chain->fault == CHAIN_SELF_SIGNED)
        buf_addf(advice,
                 "if it is not the issuer's, something else answers in its place; if it is, as its "
                 "operators must confirm, "
                 "put it into the file of fetch.ca_file");
    else if (chain->fault == CHAIN_UNKNOWN_ISSUER && chain->shown == 1 && chain->tells_issuer)
        buf_addf(advice,
                 "an intermediate certificate is missing: the server must send that of %s along "
                 "with its own; until it does, put it into the file of fetch.ca_file",
                 last->issuer);
    else if (chain->fault == CHAIN_UNKNOWN_ISSUER)
        buf_addf(advice,
                 "%s is a private CA, or a firewall that inspects TLS: get its certificate from "
                 "those who run it and put it into the file of fetch.ca_file; if it is a public "
                 "intermediate, the server must send it along",
                 last->issuer);
    else
        buf_addf(advice,
                 "%s is a private CA, or a firewall that inspects TLS: get its certificate from "
                 "those who run it, not from this connection, and put it into the file of "
                 "fetch.ca_file",
                 last->subject);
    buf_add_text(advice,
                 " (which stands in for the system's CAs: it must hold all that are needed)");
}

void advice_chain(const struct chain *chain, const struct advice_trust *trust, struct buf *why,
                  struct buf *advice) {
    char now[CLOCK_TEXT_MAX];

    if (chain->count == 0) {
        buf_add_text(why, chain->words);
        return;
    }
    say_fault(chain, trust, why);
    clock_format(trust->now, now);
    if (is_of_unknown_authority(chain->fault))
        advise_authority(chain, trust, advice);
    else if (chain->fault == CHAIN_EXPIRED)
        buf_addf(advice,
                 "whoever runs the server must renew it; but look at the clock of this machine "
                 "first, which says %s",
                 now);
    else if (chain->fault == CHAIN_NOT_YET_VALID)
        buf_addf(advice,
                 "the clock of this machine is probably wrong, it says %s: look at timedatectl",
                 now);
    else if (chain->fault == CHAIN_WRONG_HOST)
        buf_addf(advice,
                 "use a name in the issuer's URL that its certificate has, or have a certificate "
                 "for %s made; or another server answers at this address",
                 trust->host);
}

const char *advice_handshake(const char *words, bool timed_out) {
    static const struct {
        const char *word, *advice;
    } known[] = {
        {"wrong version number",
         "what listens there does not speak TLS: is the port one for http?"},
        {"unsupported protocol", "the server knows TLS older than 1.2 only, which is never used"},
        {"protocol version", "the server knows TLS older than 1.2 only, which is never used"},
        {"reset", "the server, or a firewall that looks at names in TLS, cut the connection"},
        {"SYSCALL", "the server, or a firewall that looks at names in TLS, cut the connection"},
        {"unexpected eof", "the server, or a firewall that looks at names in TLS, cut the "
                           "connection"},
        {"certificate required", "the server wants a client certificate, which there is none of"},
    };
    if (timed_out)
        return "the port is open but nobody speaks TLS: a firewall that looks into it, or a server "
               "that is stuck";
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (holds_nocase(words, known[i].word)) return known[i].advice;
    return "";
}

/* --- the way there --------------------------------------------------------------------------- */

const char *advice_name(int result, bool timed_out) {
    if (timed_out || result == EAI_AGAIN)
        return "the name server does not answer: look at /etc/resolv.conf and the way to it";
    return "the name does not exist for this machine: look for a typing error, and whether the "
           "name server in /etc/resolv.conf is the one that knows it";
}

const char *advice_connect(int system_error, bool timed_out) {
    if (timed_out || system_error == ETIMEDOUT)
        return "a firewall drops it without a word, or the machine is down; an outbound proxy may "
               "be needed (fetch.proxy)";
    switch (system_error) {
    case ECONNREFUSED:
        return "nothing listens on that port, or a firewall refuses; look at the port and whether "
               "the server runs";
    case ENETUNREACH:
    case EHOSTUNREACH:
        return "this machine has no way there: look at its routes, and whether it has IPv6 at all";
    case EPERM:
    case EACCES:
        return "this machine itself forbids it: look at its firewall and at the unit's "
               "IPAddressDeny=";
    default:
        return "";
    }
}

const char *advice_tunnel(long status, bool timed_out) {
    if (timed_out) return "the proxy took the connection but cannot reach the issuer, or is stuck";
    switch (status) {
    case 0:
        return "what listens there is no HTTP proxy, or it is stuck";
    case 401:
    case 407:
        return "the proxy wants credentials: put them into its URL, in the environment's variable";
    case 403:
        return "the proxy forbids this host: have it allowed, or name it in fetch.no_proxy";
    default:
        return "the proxy cannot reach the issuer: it has its own names, routes and firewall";
    }
}

const char *advice_status(long status) {
    if (status == 404 || status == 410)
        return "there is nothing at that URL: look for a typing error, a path that is missing, or "
               "set discovery or jwks_uri where the issuer keeps them elsewhere";
    if (status == 401 || status == 403 || status == 407)
        return "the issuer, or something before it, wants to know who asks: its documents must be "
               "open to this machine";
    if (status == 429) return "the issuer is asked too often";
    if (status >= 500) return "the issuer itself is in trouble: ask those who run it";
    return "";
}

/* --- the answer ------------------------------------------------------------------------------ */

static size_t find_nocase(struct span text, struct span word) {
    for (size_t i = 0; i + word.len <= text.len; i++)
        if (span_equal_nocase(span_until(span_from(text, i), word.len), word)) return i;
    return text.len;
}

/* What stands between <title> and the next tag, in one line. */
static void copy_title(struct span body, char out[ADVICE_TITLE_MAX]) {
    size_t len = 0;
    struct span rest = span_from(body, find_nocase(body, SPAN_LITERAL("<title")));

    rest = span_from(rest, span_find(rest, '>') + 1);
    rest = span_until(rest, span_find(rest, '<'));
    for (size_t i = 0; i < rest.len && len < ADVICE_TITLE_MAX - 1; i++) {
        char c = rest.ptr[i];
        if (c == '\n' || c == '\r' || c == '\t') c = ' ';
        if (c == ' ' && (len == 0 || out[len - 1] == ' ')) continue;
        out[len++] = c;
    }
    while (len && out[len - 1] == ' ') len--;
    out[len] = '\0';
}

bool advice_is_page(struct span body, const char *content_type, char ret_title[ADVICE_TITLE_MAX]) {
    static const struct span mark = SPAN_LITERAL("\xef\xbb\xbf");

    ret_title[0] = '\0';
    if (span_starts_with(body, mark)) body = span_from(body, mark.len);
    while (body.len && (body.ptr[0] == ' ' || body.ptr[0] == '\n' || body.ptr[0] == '\r' ||
                        body.ptr[0] == '\t'))
        body = span_from(body, 1);
    if (body.len && body.ptr[0] == '{') return false;
    if (!holds_nocase(content_type, "html") && !(body.len && body.ptr[0] == '<')) return false;
    copy_title(body, ret_title);
    return true;
}

/* --- the clock ------------------------------------------------------------------------------- */

enum outcome advice_clock(int64_t ahead_s, int64_t leeway_s, int64_t max_lifetime_s,
                          struct buf *why) {
    char off[CLOCK_WORDS_MAX], shortest[CLOCK_WORDS_MAX];
    int64_t difference = llabs(ahead_s), usual = USUAL_LIFETIME_S;

    /* Date has whole seconds, and was written a moment ago. */
    if (difference <= 1) {
        buf_add_text(why, "agrees with the issuer's");
        return OUTCOME_OK;
    }
    buf_addf(why, "this machine's is %s %s the issuer's; ", clock_words(difference, off),
             ahead_s > 0 ? "behind" : "ahead of");
    if (difference <= leeway_s) {
        buf_addf(why, "leeway is %" PRId64 " s", leeway_s);
        return OUTCOME_OK;
    }
    if (ahead_s > 0) {
        buf_addf(why, "leeway is %" PRId64 " s, so new tokens are refused as issued in the future",
                 leeway_s);
        return OUTCOME_FAIL;
    }
    if (max_lifetime_s && max_lifetime_s < usual) usual = max_lifetime_s;
    buf_addf(why,
             "leeway is %" PRId64 " s, so tokens that live for %s or less are refused as expired",
             leeway_s, clock_words(difference - leeway_s, shortest));
    return difference - leeway_s >= usual ? OUTCOME_FAIL : OUTCOME_WARN;
}
