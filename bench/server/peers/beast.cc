// bench/server/peers/beast.cc: Boost.Beast's asynchronous server, one thread: `beast PORT MODE [CERT KEY]`.
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unordered_set>
#include <utility>

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = beast::websocket;
using tcp = asio::ip::tcp;
using boost::system::error_code;

enum class Mode { echo, deflate, broadcast };

template <class Stream> class Session : public std::enable_shared_from_this<Session<Stream>>
{
public:
    using Message = std::shared_ptr<const std::string>;

    template <class... Arguments>
    explicit Session(Mode mode, Arguments &&...arguments) : ws_(std::forward<Arguments>(arguments)...), mode_(mode)
    {
        websocket::permessage_deflate deflate;
        deflate.server_enable = mode == Mode::deflate;
        ws_.set_option(deflate);
        ws_.read_message_max(16 << 20);
        ws_.auto_fragment(false);
        if (mode == Mode::deflate)
            ws_.write_buffer_bytes(65536); // else a message of 4 KiB may be sent in two frames
        beast::get_lowest_layer(ws_).set_option(tcp::no_delay(true));
    }

    ~Session()
    {
        everyone().erase(this);
    }

    void run()
    {
        if constexpr (std::is_same_v<Stream, tcp::socket>)
            open();
        else
            ws_.next_layer().async_handshake(asio::ssl::stream_base::server,
                                             [self = this->shared_from_this()](error_code e) {
                                                 if (!e)
                                                     self->open();
                                             });
    }

private:
    websocket::stream<Stream> ws_;
    beast::flat_buffer buffer_;
    Mode mode_;
    std::deque<std::pair<Message, bool>> queue_; // of a broadcast: text, is text

    static std::unordered_set<Session *> &everyone()
    {
        static std::unordered_set<Session *> all;
        return all;
    }

    void open()
    {
        ws_.async_accept([self = this->shared_from_this()](error_code e) {
            if (e)
                return;
            if (self->mode_ == Mode::broadcast)
                everyone().insert(self.get());
            self->read();
        });
    }

    void read()
    {
        ws_.async_read(buffer_, [self = this->shared_from_this()](error_code e, std::size_t) {
            if (e)
                return;
            if (self->mode_ == Mode::broadcast)
                self->to_all();
            else
                self->echo();
        });
    }

    void echo()
    {
        ws_.text(ws_.got_text());
        ws_.async_write(buffer_.data(), [self = this->shared_from_this()](error_code e, std::size_t) {
            self->buffer_.consume(self->buffer_.size());
            if (!e)
                self->read();
        });
    }

    void to_all()
    {
        const auto message = std::make_shared<const std::string>(beast::buffers_to_string(buffer_.data()));
        for (Session *other : everyone())
            other->push(message, ws_.got_text());
        buffer_.consume(buffer_.size());
        read();
    }

    void push(const Message &message, bool text)
    {
        queue_.emplace_back(message, text);
        if (queue_.size() == 1)
            write_next();
    }

    void write_next()
    {
        ws_.text(queue_.front().second);
        ws_.async_write(asio::buffer(*queue_.front().first),
                        [self = this->shared_from_this()](error_code e, std::size_t) {
                            self->queue_.pop_front();
                            if (!e && !self->queue_.empty())
                                self->write_next();
                        });
    }
};

static void accept(tcp::acceptor &acceptor, const std::function<void(tcp::socket)> &welcome)
{
    acceptor.async_accept([&acceptor, &welcome](error_code e, tcp::socket socket) {
        if (!e)
            welcome(std::move(socket));
        accept(acceptor, welcome);
    });
}

static void listen(tcp::acceptor &acceptor, const char *port)
{
    const int one = 1;
    acceptor.open(tcp::v4());
    acceptor.set_option(tcp::acceptor::reuse_address(true));
    if (std::getenv("BENCH_REUSEPORT"))
        setsockopt(acceptor.native_handle(), SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    acceptor.bind({asio::ip::address_v4::loopback(), static_cast<unsigned short>(std::atoi(port))});
    acceptor.listen(4096);
    rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static void serve(const char *port, const std::string &mode, char **files)
{
    asio::io_context context(1);
    asio::ssl::context tls(asio::ssl::context::tls_server);
    tcp::acceptor acceptor(context);
    const Mode kind = mode == "deflate" ? Mode::deflate : mode == "broadcast" ? Mode::broadcast : Mode::echo;
    std::function<void(tcp::socket)> welcome = [kind](tcp::socket socket) {
        std::make_shared<Session<tcp::socket>>(kind, std::move(socket))->run();
    };
    if (mode == "tls") {
        tls.use_certificate_chain_file(files[0]);
        tls.use_private_key_file(files[1], asio::ssl::context::pem);
        welcome = [kind, &tls](tcp::socket socket) {
            std::make_shared<Session<beast::ssl_stream<tcp::socket>>>(kind, std::move(socket), tls)->run();
        };
    }
    listen(acceptor, port);
    accept(acceptor, welcome);
    std::puts("ready");
    std::fflush(stdout);
    context.run();
}

int main(int argc, char **argv)
{
    if (argc < 3 || (std::strcmp(argv[2], "tls") == 0 && argc < 5)) {
        std::fputs("usage: beast PORT MODE [CERT KEY]\n", stderr);
        return 2;
    }
    try {
        serve(argv[1], argv[2], argv + 3);
    } catch (const std::exception &e) {
        std::fprintf(stderr, "beast: %s\n", e.what());
        return 1;
    }
    return 0;
}
