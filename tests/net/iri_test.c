/* iri_test.c: URLs in any script. */
#include "net/iri.h"
#include "base/mem.h"
#include "net_test.h"

static void becomes(const char *iri, const char *url)
{
    char *out;
    thrum_error err;
    thrum_status s = iri_to_url(&out, iri, &err);
    if (s != THRUM_OK)
        fail_msg("%s: %s", iri, err.text);
    assert_string_equal(out, url);
    mem_free(out);
}

static void test_urls(void **state)
{
    (void)state;
    becomes("ws://h.test:80/a?b#c", "ws://h.test:80/a?b#c"); /* ASCII is the parser's affair */
    becomes("", "");
    becomes("ws://b\xc3\xbc"
            "cher.example/",
            "ws://xn--bcher-kva.example/");
    becomes("wss://B\xc3\x9c"
            "CHER.example:444/x",
            "wss://xn--bcher-kva.example:444/x");          /* mapped to small letters */
    becomes("ws://fa\xc3\x9f.de/", "ws://xn--fa-hia.de/"); /* IDNA 2008, not 2003's "fass" */
    becomes("ws://\xe4\xbe\x8b\xe3\x81\x88.\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88",
            "ws://xn--r8jz45g.xn--zckzah");
    becomes("ws://h.test/\xc3\xa9?\xc3\xa9", "ws://h.test/%C3%A9?%C3%A9");
    becomes("ws://\xc3\xa9:p@h.test/", "ws://%C3%A9:p@h.test/");
    becomes("ws://u@b\xc3\xbc"
            "cher.example",
            "ws://u@xn--bcher-kva.example");
    becomes("ws+unix:/tmp/\xc3\xa9", "ws+unix:/tmp/%C3%A9");
    becomes("ws://[::1]/\xc3\xa9", "ws://[::1]/%C3%A9");
}

static void test_refused(void **state)
{
    static const char reordered[] = "ws://a\xe2\x80\xae"
                                    "b.test/";
    static const char *const bad[] = {"ws://\xff\xfe.test/", reordered, "ws://\xc3\xbc-.test/\xc3\xbc",
                                      "ws://-\xc3\xbc.test/"};
    char *out, large[3000];
    thrum_error err;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (iri_to_url(&out, bad[i], &err) != THRUM_E_ARGUMENT || !strstr(err.text, "host"))
            fail_msg("%zu: %s", i, err.text);
        assert_null(out);
    }
    memset(large, 'a', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    memcpy(large, "ws://\xc3\xbc", 7);
    assert_int_equal(iri_to_url(&out, large, &err), THRUM_E_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
