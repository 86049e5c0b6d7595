// bench/peers/beast_sync.cc: the exchange by Boost.Beast's synchronous client: `beast_sync PORT SIZE COUNT`.
// Prints one line: round trips, wall, user and system seconds, threads of the library.
extern "C" {
#include "../blocking/plain.h"
}

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/websocket.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

namespace asio = boost::asio;
namespace beast = boost::beast;

static void exchange(const char *port, std::size_t size, long count)
{
    asio::io_context context;
    beast::websocket::stream<asio::ip::tcp::socket> ws(context);
    asio::connect(ws.next_layer(), asio::ip::tcp::resolver(context).resolve("127.0.0.1", port));
    ws.next_layer().set_option(asio::ip::tcp::no_delay(true));
    ws.handshake(std::string("127.0.0.1:") + port, "/");
    ws.binary(true);
    ws.auto_fragment(false);
    ws.write_buffer_bytes(size + 64); // else it masks and writes in pieces of 4 KiB
    const std::vector<char> payload(size);
    beast::flat_buffer answer;
    plain_clock start;
    plain_start(&start);
    for (long i = 0; i < count; i++) {
        ws.write(asio::buffer(payload));
        answer.clear();
        if (ws.read(answer) != size)
            throw std::runtime_error("another message came back");
    }
    plain_report(&start, count, 0);
    ws.close(beast::websocket::close_code::normal);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        std::fputs("usage: beast_sync PORT SIZE COUNT\n", stderr);
        return 2;
    }
    plain_pin(0);
    try {
        exchange(argv[1], std::strtoul(argv[2], nullptr, 10), std::strtol(argv[3], nullptr, 10));
    } catch (const std::exception &e) {
        std::fprintf(stderr, "beast_sync: %s\n", e.what());
        return 1;
    }
    return 0;
}
