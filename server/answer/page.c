#include "server/answer/page.h"

#include <stdint.h>
#include <sys/random.h>

#include "common/base64url.h"

/* page.html as it stands, from the folder that the compiler runs in: the project's root. */
__asm__(".pushsection .rodata\n"
        ".global page_html, page_html_size\n"
        ".hidden page_html, page_html_size\n"
        "page_html:\n"
        ".incbin \"server/answer/page.html\"\n"
        "page_html_end:\n"
        ".balign 8\n"
        "page_html_size:\n"
        ".quad page_html_end - page_html\n"
        ".popsection\n");

extern const char page_html[] __attribute__((visibility("hidden")));
extern const uint64_t page_html_size __attribute__((visibility("hidden")));

/* Stands in the file wherever the nonce belongs. */
#define NONCE_MARK "@NONCE@"
#define NONCE_BYTES 18 /* 128 bits at least; a multiple of 3, so that none are wasted */
#define NONCE_SIZE (NONCE_BYTES / 3 * 4 + 1)

static bool make_nonce(char nonce[NONCE_SIZE]) {
    unsigned char bytes[NONCE_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) return false;
    base64url_encode(bytes, sizeof bytes, nonce);
    return true;
}

/*
 * What tokens, issuers and clients say ends up on this page, and a token is pasted into it. So even
 * a mistake in its script must not run what they say (script-src, trusted types), nor send anything
 * elsewhere (connect-src, form-action), and nobody may frame it to lead a click astray.
 * img-src data: is for the icon in the tab, which the page draws itself.
 */
static void add_headers(const char *nonce, struct buf *out) {
    buf_addf(out,
             "Content-Security-Policy: default-src 'none'; script-src 'nonce-%s'; "
             "style-src 'nonce-%s'; img-src data:; connect-src 'self'; base-uri 'none'; "
             "form-action 'none'; frame-ancestors 'none'; "
             "require-trusted-types-for 'script'; trusted-types 'none'\r\n",
             nonce, nonce);
    buf_add_text(out, "X-Content-Type-Options: nosniff\r\n"
                      "Referrer-Policy: no-referrer\r\n"
                      "Cross-Origin-Opener-Policy: same-origin\r\n"
                      "Cross-Origin-Resource-Policy: same-origin\r\n");
}

static void add_page(const char *nonce, struct buf *out) {
    struct span rest = {page_html, (size_t)page_html_size};
    const char *mark;

    while ((mark = memmem(rest.ptr, rest.len, NONCE_MARK, strlen(NONCE_MARK)))) {
        size_t before = (size_t)(mark - rest.ptr);
        buf_add(out, span_until(rest, before));
        buf_add_text(out, nonce);
        rest = span_from(rest, before + strlen(NONCE_MARK));
    }
    buf_add(out, rest);
}

struct answer page_answer(void) {
    char nonce[NONCE_SIZE];

    if (!make_nonce(nonce)) {
        struct answer answer = answer_make(500);
        buf_add_text(&answer.body, "{\"error\":\"server_error\"}");
        return answer;
    }
    struct answer answer = answer_make(200);
    answer.content_type = "text/html; charset=utf-8";
    add_headers(nonce, &answer.headers);
    add_page(nonce, &answer.body);
    return answer;
}
