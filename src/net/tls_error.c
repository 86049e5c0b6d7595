/* tls_error.c: what went wrong with TLS, in words that name the cause. OpenSSL knows it in three places: the
 * result of the verification, the error queue, and our stream below. */
#include "base/text.h"
#include "net/tls_int.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

/* ---- certificates -----------------------------------------------------------------------------------------
 */

static void date_text(char *out, size_t cap, const ASN1_TIME *at)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(at, &tm) == 1)
        text_format(out, cap, "%04d-%02d-%02d %02d:%02d UTC", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                    tm.tm_hour, tm.tm_min);
    else
        text_format(out, cap, "an unreadable date");
}

static void add_name(char *out, size_t cap, const void *p, int n)
{
    size_t len = strlen(out);
    if (len > 0 && len + 3 < cap)
        len += text_format(out + len, cap - len, ", ");
    text_escape(out + len, cap - len, p, n > 0 ? (size_t)n : 0);
}

static void add_address(char *out, size_t cap, const ASN1_OCTET_STRING *ip)
{
    const unsigned char *p = ASN1_STRING_get0_data(ip);
    char text[48];
    size_t n = 0;
    if (ASN1_STRING_length(ip) == 4) {
        n = text_format(text, sizeof text, "%u.%u.%u.%u", p[0], p[1], p[2], p[3]);
    } else {
        for (int i = 0; i + 1 < ASN1_STRING_length(ip) && i < 16; i += 2)
            n += text_format(text + n, sizeof text - n, "%s%x", i ? ":" : "",
                             (unsigned)(p[i] << 8 | p[i + 1]));
    }
    add_name(out, cap, text, (int)n);
}

/* "a.example, b.example": what the certificate is for. */
static void names_text(char *out, size_t cap, X509 *x)
{
    out[0] = '\0';
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
        if (g->type == GEN_DNS)
            add_name(out, cap, ASN1_STRING_get0_data(g->d.dNSName), ASN1_STRING_length(g->d.dNSName));
        else if (g->type == GEN_IPADD)
            add_address(out, cap, g->d.iPAddress);
    }
    GENERAL_NAMES_free(names);
    if (out[0] == '\0')
        text_format(out, cap, "no name that counts (no subjectAltName)");
}

/* The peer's own: the session gets it only when the verification has gone well; the chain that was looked at
 * is kept either way. */
static X509 *refused_certificate(const SSL *ssl)
{
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    return chain && sk_X509_num(chain) > 0 ? sk_X509_value(chain, 0) : SSL_get0_peer_certificate(ssl);
}

static thrum_status explain_certificate(thrum_error *err, const SSL *ssl, const char *what, long v)
{
    char text[160] = "";
    X509 *x = refused_certificate(ssl);
    switch (v) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        if (x)
            date_text(text, sizeof text, X509_get0_notAfter(x));
        return error_set(err, THRUM_E_CERTIFICATE,
                         "%s failed: a certificate of the peer's chain has expired (the peer's own on %s)",
                         what, text);
    case X509_V_ERR_CERT_NOT_YET_VALID:
        if (x)
            date_text(text, sizeof text, X509_get0_notBefore(x));
        return error_set(
            err, THRUM_E_CERTIFICATE,
            "%s failed: the certificate is not valid yet (from %s on); is this machine's clock right?", what,
            text);
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        if (x)
            names_text(text, sizeof text, x);
        return error_set(err, THRUM_E_CERTIFICATE,
                         "%s failed: the certificate is for another host: it has %s", what, text);
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return error_set(err, THRUM_E_CERTIFICATE,
                         "%s failed: the certificate is self-signed; name it as .ca_file if you trust it",
                         what);
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return error_set(
            err, THRUM_E_CERTIFICATE,
            "%s failed: the certificate's CA is unknown here (or the peer does not send its whole chain)",
            what);
    default:
        return error_set(err, THRUM_E_CERTIFICATE, "%s failed: %s", what, X509_verify_cert_error_string(v));
    }
}

/* ---- the rest
 * -----------------------------------------------------------------------------------------------
 */

struct known {
    int reason;
    thrum_status status;
    const char *text;
};

static const struct known known[] = {
    /* Which of these two is said of the same bytes differs between versions of OpenSSL. */
    {SSL_R_WRONG_VERSION_NUMBER, THRUM_E_TLS, "the peer does not speak TLS there (plain HTTP on this port?)"},
    {SSL_R_PACKET_LENGTH_TOO_LONG, THRUM_E_TLS,
     "the peer does not speak TLS there (plain HTTP on this port?)"},
    {SSL_R_HTTP_REQUEST, THRUM_E_TLS, "the peer spoke plain HTTP to a port for TLS"},
    {SSL_R_HTTPS_PROXY_REQUEST, THRUM_E_TLS, "the peer spoke to a proxy, but this is a port for TLS"},
    {SSL_R_UNSUPPORTED_PROTOCOL, THRUM_E_TLS,
     "the peer has no version of TLS that is allowed here (1.2 or newer by default)"},
    {SSL_R_VERSION_TOO_LOW, THRUM_E_TLS,
     "the peer has no version of TLS that is allowed here (1.2 or newer by default)"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, THRUM_E_TLS,
     "the peer takes none of the versions of TLS that are allowed here"},
    {SSL_R_NO_SHARED_CIPHER, THRUM_E_TLS, "there is no cipher that both sides have"},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, THRUM_E_TLS,
     "the peer refused: no cipher or version in common, or it wants a certificate of ours"},
    {SSL_R_NO_APPLICATION_PROTOCOL, THRUM_E_TLS, "the client does not offer http/1.1 (ALPN)"},
    {SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, THRUM_E_TLS, "the peer does not take http/1.1 (ALPN)"},
    {SSL_R_TLSV1_UNRECOGNIZED_NAME, THRUM_E_TLS, "the peer does not know the host name that was asked for"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, THRUM_E_CERTIFICATE, "the peer does not know the CA of our certificate"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, THRUM_E_CERTIFICATE, "the peer does not accept our certificate"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, THRUM_E_CERTIFICATE,
     "the peer says that our certificate has expired"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, THRUM_E_CERTIFICATE,
     "the peer says that our certificate is revoked"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, THRUM_E_CERTIFICATE, "the peer does not accept our certificate"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, THRUM_E_CERTIFICATE,
     "the peer wants a certificate of ours (.cert_file)"},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, THRUM_E_CERTIFICATE, "the client showed no certificate"},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, THRUM_E_TLS, "a record was changed on its way"},
};

thrum_status tls_explain(thrum_error *err, const SSL *ssl, const char *what, bool ended, int os_errno)
{
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    const char *openssl = code ? ERR_reason_error_string(code) : NULL;
    long v = SSL_get_verify_result(ssl);
    thrum_status s;
    if (v != X509_V_OK && reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        s = explain_certificate(err, ssl, what, v);
    } else if (os_errno != 0) {
        s = error_os(err, THRUM_E_RESET, os_errno, "%s: the connection broke", what);
    } else if (ended) {
        s = error_set(err, THRUM_E_TLS, "%s failed: the peer ended the connection", what);
    } else if (ERR_GET_LIB(code) == ERR_LIB_SYS || reason == ERR_R_MALLOC_FAILURE) {
        s = error_set(err, THRUM_E_MEMORY, "%s: no memory", what);
    } else {
        const struct known *k = NULL;
        for (size_t i = 0; i < sizeof known / sizeof known[0] && !k; i++)
            if (known[i].reason == reason && ERR_GET_LIB(code) == ERR_LIB_SSL)
                k = &known[i];
        s = error_set(err, k ? k->status : THRUM_E_TLS, "%s failed: %s", what,
                      k         ? k->text
                      : openssl ? openssl
                                : "no reason is known");
    }
    err->tls_code = code;
    ERR_clear_error();
    return s;
}

thrum_status tls_explain_setting(thrum_error *err, thrum_status s, const char *what, const char *name)
{
    unsigned long code = ERR_peek_error();
    char shown[120];
    text_escape(shown, sizeof shown, name, strlen(name));
    int reason = ERR_GET_REASON(code);
    const char *why = ERR_GET_LIB(code) == ERR_LIB_SYS       ? strerrordesc_np(reason)
                      : reason == PEM_R_NO_START_LINE        ? "there is no such thing in it in PEM form"
                      : reason == PEM_R_BAD_PASSWORD_READ    ? "it asks for a password: set .key_password"
                      : reason == PEM_R_BAD_DECRYPT          ? "the password is wrong"
                      : reason == X509_R_KEY_VALUES_MISMATCH ? "key and certificate do not belong together"
                      : code                                 ? ERR_reason_error_string(code)
                                                             : "it cannot be used";
    s = error_set(err, s, "the TLS option %s (\"%s\"): %s", what, shown, why ? why : "it cannot be used");
    err->tls_code = code;
    ERR_clear_error();
    return s;
}
