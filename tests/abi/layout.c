/* layout.c: prints the size of each public struct and the place of each member, and the value of each public
 * enumerator that a program has compiled in. tools/check-symbols compares it with layout.txt: a difference
 * means that programs built with an older header would break. A struct marked `tight` must have no padding,
 * so that all-zero is all defaults and no byte of an options struct is ever undefined. Members are listed by
 * hand; a forgotten one shows as a gap. */
#include <stdio.h>
#include <string.h>
#include <thrum/loop.h>
#include <thrum/proto.h>
#include <thrum/reconnect.h>
#include <thrum/server.h>
#include <thrum/stats.h>
#include <thrum/thrum.h>
#include <thrum/tls.h>

static size_t end;
static int gaps;

static void begin(const char *name, size_t size, bool tight)
{
    printf("%s %zu%s\n", name, size, tight ? " tight" : "");
    end = 0;
}

static void member(const char *name, size_t offset, size_t size, bool tight)
{
    printf("  %s %zu %zu\n", name, offset, size);
    if (tight && offset != end) {
        fprintf(stderr, "a gap, or a member that is not listed, before %s at %zu\n", name, offset);
        gaps++;
    }
    end = offset + size;
}

static void finish(const char *name, size_t size, bool tight)
{
    if (tight && end != size) {
        fprintf(stderr, "a gap, or a member that is not listed, at the end of %s\n", name);
        gaps++;
    }
}

#define MEMBER(field) member(#field, offsetof(STRUCT, field), sizeof((STRUCT *)0)->field, TIGHT);
#define BEGIN(name)   begin(name, sizeof(STRUCT), TIGHT);
#define END(name)     finish(name, sizeof(STRUCT), TIGHT);

#define TIGHT true
static void client_options(void)
{
#define STRUCT thrum_client_options
    BEGIN("thrum_client_options")
    MEMBER(size)
    MEMBER(subprotocols)
    MEMBER(origin)
    MEMBER(user_agent)
    MEMBER(headers)
    MEMBER(open_timeout)
    MEMBER(close_timeout)
    MEMBER(send_timeout)
    MEMBER(ping_interval)
    MEMBER(ping_timeout)
    MEMBER(max_message)
    MEMBER(max_frame)
    MEMBER(max_fragments)
    MEMBER(recv_high)
    MEMBER(recv_low)
    MEMBER(send_high)
    MEMBER(spin_us)
    MEMBER(interruptible)
    MEMBER(attended)
    MEMBER(compress_idle)
    MEMBER(compress_min)
    MEMBER(compression)
    MEMBER(server_no_context_takeover)
    MEMBER(client_no_context_takeover)
    MEMBER(server_max_window_bits)
    MEMBER(client_max_window_bits)
    MEMBER(compress_level)
    MEMBER(compress_memory)
    MEMBER(max_redirects)
    MEMBER(tls)
    MEMBER(tls_shared)
    MEMBER(proxy)
    MEMBER(proxy_tls)
    MEMBER(source_address)
    MEMBER(user)
    MEMBER(password)
    MEMBER(bearer)
    MEMBER(cookie)
    MEMBER(response)
    MEMBER(tcp_keepalive)
    MEMBER(spare)
    MEMBER(send_low)
    MEMBER(when_full)
    MEMBER(spare_loop)
    END("thrum_client_options")
#undef STRUCT
}

static void server_options(void)
{
#define STRUCT thrum_server_options
    BEGIN("thrum_server_options")
    MEMBER(size)
    MEMBER(serve)
    MEMBER(arg)
    MEMBER(on_request)
    MEMBER(on_subprotocol)
    MEMBER(subprotocols)
    MEMBER(origins)
    MEMBER(hosts)
    MEMBER(server_name)
    MEMBER(open_timeout)
    MEMBER(close_timeout)
    MEMBER(send_timeout)
    MEMBER(ping_interval)
    MEMBER(ping_timeout)
    MEMBER(max_message)
    MEMBER(max_frame)
    MEMBER(max_fragments)
    MEMBER(recv_high)
    MEMBER(recv_low)
    MEMBER(send_high)
    MEMBER(spin_us)
    MEMBER(max_conns)
    MEMBER(backlog)
    MEMBER(stack_size)
    MEMBER(interruptible)
    MEMBER(attended)
    MEMBER(reuse_port)
    MEMBER(unlink_socket)
    MEMBER(compress_idle)
    MEMBER(compress_min)
    MEMBER(compression)
    MEMBER(server_no_context_takeover)
    MEMBER(client_no_context_takeover)
    MEMBER(server_max_window_bits)
    MEMBER(client_max_window_bits)
    MEMBER(compress_level)
    MEMBER(compress_memory)
    MEMBER(spare)
    MEMBER(tls)
    MEMBER(tls_shared)
    MEMBER(users)
    MEMBER(tokens)
    MEMBER(realm)
    MEMBER(trusted_proxies)
    MEMBER(proxy_protocol)
    MEMBER(forwarded_for)
    MEMBER(handlers)
    MEMBER(routes)
    MEMBER(fds)
    MEMBER(send_low)
    MEMBER(when_full)
    MEMBER(spare_loop)
    END("thrum_server_options")
#undef STRUCT
}

static void tls_options(void)
{
#define STRUCT thrum_tls_options
    BEGIN("thrum_tls_options")
    MEMBER(size)
    MEMBER(ca_file)
    MEMBER(ca_dir)
    MEMBER(ca)
    MEMBER(ca_len)
    MEMBER(cert_file)
    MEMBER(key_file)
    MEMBER(cert)
    MEMBER(cert_len)
    MEMBER(key)
    MEMBER(key_len)
    MEMBER(key_password)
    MEMBER(server_name)
    MEMBER(alpn)
    MEMBER(ciphers)
    MEMBER(ciphersuites)
    MEMBER(keylog_file)
    MEMBER(ssl_ctx)
    MEMBER(on_server_name)
    MEMBER(arg)
    MEMBER(peer_certificate)
    MEMBER(insecure)
    MEMBER(resume)
    MEMBER(least)
    END("thrum_tls_options")
#undef STRUCT
}

static void reconnect_options(void)
{
#define STRUCT thrum_reconnect_options
    BEGIN("thrum_reconnect_options")
    MEMBER(size)
    MEMBER(delay_first)
    MEMBER(delay_most)
    MEMBER(retry_after)
    MEMBER(give_up)
    MEMBER(attempts)
    MEMBER(outbox_messages)
    MEMBER(outbox_bytes)
    MEMBER(on_connected)
    MEMBER(on_phase)
    MEMBER(on_dropped)
    MEMBER(is_final)
    MEMBER(arg)
    MEMBER(drop_oldest)
    MEMBER(spare)
    END("thrum_reconnect_options")
#undef STRUCT
}

static void reconnect_counts(void)
{
#define STRUCT thrum_reconnect_counts
    BEGIN("thrum_reconnect_counts")
    MEMBER(size)
    MEMBER(attempts)
    MEMBER(connections)
    MEMBER(outbox_messages)
    MEMBER(outbox_bytes)
    MEMBER(dropped_messages)
    MEMBER(dropped_bytes)
    END("thrum_reconnect_counts")
#undef STRUCT
}

static void tls_info(void)
{
#define STRUCT thrum_tls_info
    BEGIN("thrum_tls_info")
    MEMBER(size)
    MEMBER(version)
    MEMBER(cipher)
    MEMBER(alpn)
    MEMBER(subject)
    MEMBER(issuer)
    MEMBER(resumed)
    MEMBER(verified)
    MEMBER(reserved)
    END("thrum_tls_info")
#undef STRUCT
}

static void send_options(void)
{
#define STRUCT thrum_send_options
    BEGIN("thrum_send_options")
    MEMBER(size)
    MEMBER(compress)
    MEMBER(more)
    END("thrum_send_options")
#undef STRUCT
}

static void loop_structs(void)
{
#define STRUCT thrum_handlers
    BEGIN("thrum_handlers")
    MEMBER(size)
    MEMBER(on_open)
    MEMBER(on_message)
    MEMBER(on_part)
    MEMBER(on_ping)
    MEMBER(on_pong)
    MEMBER(on_drain)
    MEMBER(on_close)
    END("thrum_handlers")
#undef STRUCT
#define STRUCT thrum_route
    BEGIN("thrum_route")
    MEMBER(path)
    MEMBER(handlers)
    MEMBER(on_request)
    MEMBER(arg)
    END("thrum_route")
#undef STRUCT
}

static void given_structs(void)
{
#define STRUCT thrum_host
    BEGIN("thrum_host")
    MEMBER(size)
    MEMBER(ctx)
    MEMBER(random)
    MEMBER(events)
    MEMBER(id)
    MEMBER(peer)
    END("thrum_host")
#undef STRUCT
#define STRUCT thrum_memory
    BEGIN("thrum_memory")
    MEMBER(size)
    MEMBER(ctx)
    MEMBER(alloc)
    MEMBER(resize)
    MEMBER(release)
    END("thrum_memory")
#undef STRUCT
#define STRUCT thrum_slice
    BEGIN("thrum_slice")
    MEMBER(p)
    MEMBER(n)
    END("thrum_slice")
#undef STRUCT
}

static void answered_structs(void)
{
#define STRUCT thrum_error
    BEGIN("thrum_error")
    MEMBER(status)
    MEMBER(os_errno)
    MEMBER(tls_code)
    MEMBER(close_code)
    MEMBER(http_status)
    MEMBER(by_peer)
    MEMBER(reserved)
    MEMBER(text)
    END("thrum_error")
#undef STRUCT
#define STRUCT thrum_message
    BEGIN("thrum_message")
    MEMBER(kind)
    MEMBER(part)
    MEMBER(len)
    MEMBER(data)
    MEMBER(hold)
    END("thrum_message")
#undef STRUCT
#define STRUCT thrum_closing
    BEGIN("thrum_closing")
    MEMBER(size)
    MEMBER(sent_code)
    MEMBER(recv_code)
    MEMBER(by_peer)
    MEMBER(clean)
    MEMBER(reserved)
    MEMBER(sent_reason)
    MEMBER(recv_reason)
    END("thrum_closing")
#undef STRUCT
#define STRUCT thrum_stats
    BEGIN("thrum_stats")
    MEMBER(size)
    MEMBER(messages_in)
    MEMBER(messages_out)
    MEMBER(bytes_in)
    MEMBER(bytes_out)
    MEMBER(wire_in)
    MEMBER(wire_out)
    MEMBER(pings_in)
    MEMBER(pings_out)
    MEMBER(pongs_in)
    MEMBER(pongs_out)
    MEMBER(queued_messages)
    MEMBER(queued_in)
    MEMBER(queued_out)
    MEMBER(latency_ns)
    MEMBER(compress_held)
    MEMBER(compress_held_process)
    END("thrum_stats")
#undef STRUCT
}
#undef TIGHT

#define TIGHT false /* never filled by a user, so their padding is nobody's trap */
static void loose_structs(void)
{
#define STRUCT thrum_log_record
    BEGIN("thrum_log_record")
    MEMBER(size)
    MEMBER(level)
    MEMBER(area)
    MEMBER(text)
    MEMBER(conn)
    MEMBER(ns)
#undef STRUCT
#define STRUCT thrum_event
    BEGIN("thrum_event")
    MEMBER(what)
    MEMBER(code)
    MEMBER(message)
#undef STRUCT
}
#undef TIGHT

#define VALUE(name) printf("%s = %lld\n", #name, (long long)(name))
static void values(void)
{
    VALUE(THRUM_FOREVER);
    VALUE(THRUM_DEFAULT);
    VALUE(THRUM_ON);
    VALUE(THRUM_OFF);
    VALUE(THRUM_TEXT);
    VALUE(THRUM_BINARY);
    VALUE(THRUM_CONNECTING);
    VALUE(THRUM_OPEN);
    VALUE(THRUM_CLOSING);
    VALUE(THRUM_CLOSED);
    VALUE(THRUM_PART_FIRST);
    VALUE(THRUM_PART_LAST);
    VALUE(THRUM_PART_WHOLE);
    VALUE(THRUM_GOODBYE);
    VALUE(THRUM_LINGER);
    VALUE(THRUM_CUT);
    VALUE(THRUM_PHASE_IDLE);
    VALUE(THRUM_PHASE_CONNECTING);
    VALUE(THRUM_PHASE_WAITING);
    VALUE(THRUM_PHASE_OPEN);
    VALUE(THRUM_PHASE_CLOSED);
    VALUE(THRUM_FULL_REFUSE);
    VALUE(THRUM_FULL_PAUSE);
    VALUE(THRUM_FULL_DROP_OLDEST);
    VALUE(THRUM_FULL_CLOSE);
    VALUE(THRUM_LOG_ERROR);
    VALUE(THRUM_LOG_TRACE);
    VALUE(THRUM_EVENT_NONE);
    VALUE(THRUM_EVENT_OPEN);
    VALUE(THRUM_EVENT_MESSAGE);
    VALUE(THRUM_EVENT_PING);
    VALUE(THRUM_EVENT_PONG);
    VALUE(THRUM_EVENT_CLOSE);
    VALUE(THRUM_EVENT_ENDED);
    VALUE(THRUM_WANT_IN);
    VALUE(THRUM_WANT_OUT);
    VALUE(THRUM_HAS_EVENT);
    VALUE(THRUM_MAY_SEND);
    VALUE(THRUM_SHUT_OUT);
    VALUE(THRUM_ENDED);
}

/* The statuses are numbers in other people's switch statements. Every one that has a name is printed. */
static void statuses(void)
{
    for (int s = 0; s > -1000; s--) {
        const char *name = thrum_status_name((thrum_status)s);
        if (strcmp(name, "?") != 0)
            printf("status %s = %d\n", name, s);
    }
}

int main(void)
{
    client_options();
    server_options();
    tls_options();
    tls_info();
    reconnect_options();
    reconnect_counts();
    send_options();
    loop_structs();
    given_structs();
    answered_structs();
    loose_structs();
    values();
    statuses();
    return gaps == 0 ? 0 : 1;
}
