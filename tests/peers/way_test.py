#!/usr/bin/env python3
"""The way between client and server, with programs that are not ours in it: way_test.py proxies|fronts|tls.

proxies: `thrum connect` through squid (open, Basic, Digest, TLS), microsocks, dante and ssh -D. fronts: nginx and HAProxy before
way_server, curl and openssl s_client as its clients. tls: Python's websockets as TLS peer in both roles. Each program gets
a free loopback port and one temporary directory, and is ended with the case that started it; no other process is touched.
WAY_CLI names `thrum`, WAY_BUILD where way_server is. Status 77: none of the programs is here; under CI=true each must be."""

import asyncio
import contextlib
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

CLI = os.environ.get("WAY_CLI", "thrum")
BUILD = pathlib.Path(os.environ.get("WAY_BUILD", "."))
CI = os.environ.get("CI") == "true"
PATIENCE = 30
count = {"ok": 0, "failed": 0, "skipped": 0}
PLAIN = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}


def case(name):
    def run(function):
        try:
            function()
        except Exception as error:  # noqa: BLE001: whatever went wrong is the case's failure, and the next one runs
            count["failed"] += 1
            print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
        else:
            count["ok"] += 1
            print(f"ok {name}", flush=True)

    return run


def program(*names):
    """Where it is, or None: /usr/sbin is not in everybody's PATH."""
    for name in names:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
        if found:
            return found
    count["failed" if CI else "skipped"] += 1
    print(f"{'FAIL' if CI else 'skipped'}: {names[0]} is not installed")
    return None


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def wait_for(port, process):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if process.poll() is not None:
            raise AssertionError(f"{process.args[0]} ended with {process.returncode}")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.02)
    raise AssertionError(f"{process.args[0]} does not listen")


@contextlib.contextmanager
def running(port, *command, log):
    with open(log, "wb") as out:
        process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=PLAIN)
    try:
        wait_for(port, process)
        yield process
    except AssertionError as error:
        raise AssertionError(f"{error}: {pathlib.Path(log).read_text(errors='replace')[-800:]}") from None
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Certificates:
    def __init__(self, place, address="127.0.0.1"):
        self.authority, self.chain, self.key, self.both = (place / n for n in ("ca.pem", "chain.pem", "key.pem", "both.pem"))
        names = place / "names"
        names.write_text(f"subjectAltName=DNS:localhost,IP:{address}\nbasicConstraints=CA:FALSE\n")
        ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self.run("req", "-x509", *ec, "-subj", "/CN=way authority", "-days", "2", "-keyout", place / "ca.key", "-out", self.authority)
        self.run("req", *ec, "-subj", "/CN=way", "-keyout", self.key, "-out", place / "request")
        self.run("x509", "-req", "-in", place / "request", "-CA", self.authority, "-CAkey", place / "ca.key", "-days", "2",
                 "-extfile", names, "-out", self.chain, "-set_serial", "7")
        self.both.write_text(self.chain.read_text() + self.key.read_text())
        for file in (self.chain, self.key, self.both, self.authority):
            file.chmod(0o644)  # the proxies run as users of their own; these keys are worth nothing

    @staticmethod
    def run(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@contextlib.contextmanager
def our_server(url, *arguments):
    process = subprocess.Popen([BUILD / "way_server", url, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        status = process.wait(PATIENCE)
        process.stdout.close()
        if status != 0:
            raise AssertionError(f"way_server ended with {status}")


def say(url, *options, lines=("hello",), env=None):
    """What `thrum connect` prints for these lines; it ends once the input has."""
    return subprocess.run([CLI, "connect", "--quiet", "--linger", "0.3", *map(str, options), url],
                          input="".join(line + "\n" for line in lines), capture_output=True, text=True, timeout=PATIENCE,
                          env={**PLAIN, **(env or {})}, check=False)


def echoes(url, *options, env=None):
    ran = say(url, *options, env=env)
    if ran.returncode != 0 or ran.stdout.splitlines()[1:] != ["hello"]:
        raise AssertionError(f"status {ran.returncode}, {ran.stdout!r}, {ran.stderr!r}")
    return ran.stdout.splitlines()[0]


def refused(url, *options, says, env=None):
    ran = say(url, *options, env=env)
    if ran.returncode != 1 or says not in ran.stderr:
        raise AssertionError(f"status {ran.returncode}, {ran.stderr!r} has no {says!r}")


# ---- proxies -------------------------------------------------------------------------------------------------------

def squid_conf(place, port, tls_port, certificates, auth):
    helper = {"basic": f"auth_param basic program /usr/lib/squid/basic_ncsa_auth {place}/passwords",
              "digest": f"auth_param digest program /usr/lib/squid/digest_file_auth -c {place}/digests", None: ""}[auth]
    allow = "acl known proxy_auth REQUIRED\nhttp_access allow known" if auth else "http_access allow all"
    realm = f"auth_param {auth} realm way\nauth_param {auth} children 2" if auth else ""
    return f"""
http_port 127.0.0.1:{port}
https_port 127.0.0.1:{tls_port} tls-cert={certificates.chain} tls-key={certificates.key}
{helper}
{realm}
acl forbidden dstdomain forbidden.test
http_access deny forbidden
{allow}
http_access deny all
pid_filename {place}/squid-{port}.pid
cache_log {place}/squid-{port}.log
access_log none
cache deny all
coredump_dir {place}
pinger_enable off
shutdown_lifetime 0 seconds
visible_hostname way.test
"""


@contextlib.contextmanager
def squid(found, place, certificates, auth):
    port, tls_port = free_port(), free_port()
    conf = place / f"squid-{port}.conf"
    conf.write_text(squid_conf(place, port, tls_port, certificates, auth))
    with running(port, found, "-N", "-f", conf, log=place / f"squid-{port}.out"):
        yield port, tls_port


def with_squid(found, place, certificates, ws, wss):
    ca = ("--ca", certificates.authority)
    passwords = subprocess.run(["openssl", "passwd", "-apr1", "secret"], capture_output=True, text=True, check=True).stdout.strip()
    (place / "passwords").write_text(f"me:{passwords}\n")
    import hashlib
    (place / "digests").write_text("me:way:" + hashlib.md5(b"me:way:secret").hexdigest() + "\n")
    for file in ("passwords", "digests"):
        (place / file).chmod(0o644)
    with squid(found, place, certificates, None) as (port, tls_port):
        proxy = f"http://127.0.0.1:{port}"

        @case("squid: ws and wss by CONNECT")
        def _():
            echoes(ws, "--proxy", proxy)
            echoes(wss, "--proxy", proxy, *ca)

        @case("squid: ws and wss by TLS to the proxy; TLS in TLS")
        def _():
            env = {"SSL_CERT_FILE": str(certificates.authority)}
            echoes(ws, "--proxy", f"https://127.0.0.1:{tls_port}", env=env)
            echoes(wss, "--proxy", f"https://127.0.0.1:{tls_port}", env=env)
            refused(ws, "--proxy", f"https://127.0.0.1:{tls_port}", says="CA is unknown")

        @case("squid: what it refuses, in its words")
        def _():
            refused("ws://forbidden.test/", "--proxy", proxy, says="403")
            refused("ws://nowhere.invalid/", "--proxy", proxy, says="it says 5")

        @case("squid: the environment, by curl's rules")
        def _():
            for scheme, url in (("http", ws), ("https", wss)):
                at = f"http://127.0.0.1:{free_port()}"  # nobody there: who uses it fails
                env = {"SSL_CERT_FILE": str(certificates.authority)}
                echoes(url, env={**env, f"{scheme}_proxy": proxy})
                refused(url, env={**env, f"{scheme}_proxy": at}, says="the proxy")
                echoes(url, env={**env, f"{scheme}_proxy": at, "no_proxy": "10.0.0.0/8,127.0.0.0/8"})
                refused(url, env={**env, f"{scheme}_proxy": at, "no_proxy": "example.org"}, says="the proxy")
                refused(url, env={**env, "ALL_PROXY": at}, says="the proxy")
                echoes(url, "--proxy", "", env={**env, f"{scheme}_proxy": at})
            echoes(ws, env={"HTTP_PROXY": f"http://127.0.0.1:{free_port()}"})  # in capitals it does not count

    for auth in ("basic", "digest"):
        with squid(found, place, certificates, auth) as (port, _):
            @case(f"squid: {auth}")
            def _(port=port):
                echoes(ws, "--proxy", f"http://me:secret@127.0.0.1:{port}")
                echoes(wss, "--proxy", f"http://me:secret@127.0.0.1:{port}", *ca)
                refused(ws, "--proxy", f"http://me:wrong@127.0.0.1:{port}", says="407")
                refused(ws, "--proxy", f"http://127.0.0.1:{port}", says="asks for a user and password (407)")


def with_socks(place, certificates, ws, wss):
    ca = ("--ca", certificates.authority)
    by_name = ws.replace("127.0.0.1", "localhost")
    microsocks = program("microsocks")
    if microsocks:
        port = free_port()
        with running(port, microsocks, "-i", "127.0.0.1", "-p", port, log=place / "microsocks.out"):
            @case("microsocks: socks5 and socks5h, ws and wss")
            def _():
                for scheme in ("socks5", "socks5h", "socks"):
                    echoes(by_name, "--proxy", f"{scheme}://127.0.0.1:{port}")
                    echoes(wss, "--proxy", f"{scheme}://127.0.0.1:{port}", *ca)
                refused(f"ws://127.0.0.1:{free_port()}/", "--proxy", f"socks5://127.0.0.1:{port}", says="SOCKS 5 code")
        port = free_port()
        with running(port, microsocks, "-i", "127.0.0.1", "-p", port, "-u", "me", "-P", "secret", log=place / "microsocks2.out"):
            @case("microsocks: user and password")
            def _():
                echoes(ws, "--proxy", f"socks5h://me:secret@127.0.0.1:{port}")
                refused(ws, "--proxy", f"socks5h://me:wrong@127.0.0.1:{port}", says='password of "me"')
                refused(ws, "--proxy", f"socks5h://127.0.0.1:{port}", says="asks for a user")
    with_dante(place, certificates, ws, wss)
    with_ssh(place, certificates, ws, wss)


def with_dante(place, certificates, ws, wss):
    ca = ("--ca", certificates.authority)
    by_name = ws.replace("127.0.0.1", "localhost")
    danted = program("danted", "sockd")
    if danted:
        port = free_port()
        conf = place / "danted.conf"
        conf.write_text(f"""
logoutput: {place}/danted.log
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
socksmethod: none
clientmethod: none
user.privileged: root
user.unprivileged: nobody
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
socks block {{ from: 127.0.0.0/8 to: 192.0.2.0/24 }}
socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
""")
        with running(port, danted, "-f", conf, "-p", place / "danted.pid", log=place / "danted.out"):
            @case("dante: socks4, socks5 and socks5h, by name, too")
            def _():
                for scheme in ("socks4", "socks5", "socks5h"):
                    echoes(by_name, "--proxy", f"{scheme}://127.0.0.1:{port}")
                    echoes(wss, "--proxy", f"{scheme}://127.0.0.1:{port}", *ca)
                refused("ws://192.0.2.1/", "--proxy", f"socks5://127.0.0.1:{port}", says="SOCKS 5 code 2")
                refused("ws://192.0.2.1/", "--proxy", f"socks4://127.0.0.1:{port}", says="SOCKS 4 code 91")

            @case("dante: socks4a fares as it does with curl")
            def _():  # dante 1.4.2 connects to 0.0.0.1, the mark of SOCKS 4a, where others look the name up
                port_of = ws.split(":")[2].rstrip("/")
                curl = subprocess.run(["curl", "-sS", "-m", "10", "--proxy", f"socks4a://127.0.0.1:{port}",
                                       f"http://localhost:{port_of}/"], capture_output=True, text=True, env=PLAIN, check=False)
                if "(91)" in curl.stderr:
                    refused(by_name, "--proxy", f"socks4a://127.0.0.1:{port}", says="SOCKS 4 code 91")
                else:
                    echoes(by_name, "--proxy", f"socks4a://127.0.0.1:{port}")


def with_ssh(place, certificates, ws, wss):
    """OpenSSH's client is a SOCKS 4, 4a and 5 proxy; the sshd at its other end is ours alone, with keys made for this."""
    ssh, sshd = program("ssh"), program("sshd")
    if not (ssh and sshd):
        return
    home, gate, port = place / "ssh", free_port(), free_port()
    home.mkdir(mode=0o700)
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / key], check=True)
    shutil.copy(home / "user.pub", home / "authorized")
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)  # sshd asks for it; Debian makes it as the service starts
    (home / "sshd.conf").write_text(f"""
Port {gate}
ListenAddress 127.0.0.1
HostKey {home}/host
AuthorizedKeysFile {home}/authorized
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
""")
    with running(gate, sshd, "-D", "-e", "-f", home / "sshd.conf", log=place / "sshd.out"), \
            running(port, ssh, "-F", "none", "-N", "-D", f"127.0.0.1:{port}", "-p", gate, "-i", home / "user", "-o",
                    "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",
                    f"UserKnownHostsFile={home}/known", "127.0.0.1", log=place / "ssh.out"):
        @case("ssh -D: socks4, socks4a, socks5 and socks5h, by name, ws and wss")
        def _():
            ca = ("--ca", certificates.authority)
            for scheme in ("socks4", "socks4a", "socks5", "socks5h"):
                for url in (ws, wss):
                    echoes(url.replace("127.0.0.1", "localhost"), "--proxy", f"{scheme}://127.0.0.1:{port}", *ca)


def proxies(place, certificates):
    with our_server("ws://127.0.0.1:0/") as ws, our_server("wss://127.0.0.1:0/", "cert", certificates.chain,
                                                          certificates.key) as wss:
        found = program("squid")
        if found:
            with_squid(found, place, certificates, ws, wss)
        with_socks(place, certificates, ws, wss)


# ---- fronts --------------------------------------------------------------------------------------------------------

def port_of(url):
    return int(url.rstrip("/").rsplit(":", 1)[1])


def with_nginx(place, certificates, ws, wss):
    found = program("nginx")
    if not found:
        return
    plain, tls = free_port(), free_port()
    proxy = """
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"""
    paths = "\n".join(f"    {kind}_temp_path {place}/nginx-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf = place / "nginx.conf"
    conf.write_text(f"""
daemon off;
pid {place}/nginx.pid;
error_log {place}/nginx.log;
events {{ }}
http {{
    access_log off;
{paths}
    server {{
        listen 127.0.0.1:{plain};
        listen 127.0.0.1:{tls} ssl;
        ssl_certificate {certificates.chain};
        ssl_certificate_key {certificates.key};
        location /plain {{ proxy_pass {ws.replace("ws:", "http:")};{proxy} }}
        location /tls {{ proxy_pass {wss.replace("wss:", "https:")};{proxy} }}
    }}
}}
""")
    with running(plain, found, "-c", conf, "-e", place / "nginx.log", log=place / "nginx.out"):
        @case("nginx in front: ws and wss on either side; who the client is")
        def _():
            for url, ca in ((f"ws://127.0.0.1:{plain}", ()), (f"wss://127.0.0.1:{tls}", ("--ca", certificates.authority))):
                for path in ("plain", "tls"):
                    got = echoes(f"{url}/{path}", "--header", "X-Forwarded-For: 203.0.113.7", *ca)
                    if got != "203.0.113.7":  # nginx, which is trusted, wrote 127.0.0.1 behind it; so is that
                        raise AssertionError(f"the peer is {got}")

        @case("nginx in front: compressed messages of a mebibyte")
        def _():
            ran = say(f"ws://127.0.0.1:{plain}/plain", "--linger", "1", lines=("x" * 1000000,))
            if ran.returncode != 0 or len(ran.stdout) < 1000000:
                raise AssertionError(f"status {ran.returncode}, {len(ran.stdout)} bytes, {ran.stderr!r}")


def with_haproxy(place, certificates, ws, wss):
    found = program("haproxy")
    if not found:
        return
    ports = {name: free_port() for name in ("http", "https", "one", "two", "two_tls")}
    with our_server("ws://127.0.0.1:0/", "proxy-protocol") as behind, our_server(
            "wss://127.0.0.1:0/", "proxy-protocol", "cert", certificates.chain, certificates.key) as behind_tls:
        conf = place / "haproxy.cfg"
        conf.write_text(f"""
defaults
    timeout connect 10s
    timeout client 20s
    timeout server 20s
    timeout tunnel 20s
frontend http
    mode http
    bind 127.0.0.1:{ports['http']}
    bind 127.0.0.1:{ports['https']} ssl crt {certificates.both}
    option forwardfor
    use_backend tls if {{ path /tls }}
    default_backend plain
backend plain
    mode http
    server s 127.0.0.1:{port_of(ws)}
backend tls
    mode http
    server s 127.0.0.1:{port_of(wss)} ssl verify required ca-file {certificates.authority} verifyhost localhost
listen one
    mode tcp
    bind 127.0.0.1:{ports['one']}
    server s 127.0.0.1:{port_of(behind)} send-proxy
listen two
    mode tcp
    bind 127.0.0.1:{ports['two']}
    server s 127.0.0.1:{port_of(behind)} send-proxy-v2
listen two_tls
    mode tcp
    bind 127.0.0.1:{ports['two_tls']}
    server s 127.0.0.1:{port_of(behind_tls)} send-proxy-v2
""")
        ca = ("--ca", certificates.authority)
        with running(ports["http"], found, "-db", "-f", conf, log=place / "haproxy.out"):
            @case("haproxy in front: ws and wss on either side")
            def _():
                for url, more in ((f"ws://127.0.0.1:{ports['http']}", ()), (f"wss://127.0.0.1:{ports['https']}", ca)):
                    for path in ("plain", "tls"):
                        echoes(f"{url}/{path}", *more)

            @case("haproxy in front: the PROXY protocol, 1 and 2, and before TLS")
            def _():
                for url, more in ((f"ws://127.0.0.1:{ports['one']}", ()), (f"ws://127.0.0.1:{ports['two']}", ()),
                                  (f"wss://127.0.0.1:{ports['two_tls']}", ca)):
                    got = echoes(url, "--source", "127.0.0.77", *more)
                    if not got.startswith("127.0.0.77:"):
                        raise AssertionError(f"the peer is {got}")
                refused(behind, says="")  # who comes around the proxy is not let in


HANDSHAKE = ("GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")


def with_clients(certificates, ws, wss):
    curl = program("curl")
    if curl:
        @case("curl: the handshake over TLS, and a plain request to either port")
        def _():
            head = [h for line in HANDSHAKE.split("\r\n")[2:] if line for h in ("-H", line)]
            base = [curl, "-s", "-i", "--http1.1", "--max-time", "2", "--cacert", str(certificates.authority)]
            got = subprocess.run([*base, *head, wss.replace("wss:", "https:")], capture_output=True, env=PLAIN, check=False).stdout
            if not got.startswith(b"HTTP/1.1 101 ") or b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" not in got:
                raise AssertionError(got)
            for url, status in ((wss.replace("wss:", "https:"), b"426"), (wss.replace("wss:", "http:"), b"400"),
                                (ws.replace("ws:", "http:"), b"426")):
                got = subprocess.run([*base, url], capture_output=True, env=PLAIN, check=False).stdout
                if got.split(b" ", 2)[1:2] != [status]:
                    raise AssertionError(f"{url}: {got!r}")
    openssl = program("openssl")
    if openssl:
        @case("openssl s_client: the handshake, TLS 1.2 and 1.3, ALPN")
        def _():
            for version in ("-tls1_2", "-tls1_3"):
                ran = subprocess.run([openssl, "s_client", "-connect", f"127.0.0.1:{port_of(wss)}", version, "-CAfile",
                                      str(certificates.authority), "-verify_return_error", "-alpn", "http/1.1", "-ign_eof",
                                      "-servername", "localhost"], input=HANDSHAKE.encode() + b"\x88\x82\0\0\0\0\x03\xe8",
                                     capture_output=True, timeout=PATIENCE, check=False)
                for part in (b"HTTP/1.1 101 ", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", b"ALPN protocol: http/1.1", b"Verification: OK"):
                    if part not in ran.stdout:
                        raise AssertionError(f"{version}: no {part!r} in {ran.stdout[-1500:]!r}")

        @case("openssl s_client: TLS 1.1 is refused")
        def _():
            ran = subprocess.run([openssl, "s_client", "-connect", f"127.0.0.1:{port_of(wss)}", "-tls1_1", "-cipher",
                                  "DEFAULT@SECLEVEL=0"], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE,
                                 check=False)
            if ran.returncode == 0:
                raise AssertionError("it was spoken")


def fronts(place, certificates):
    with our_server("ws://127.0.0.1:0/", "forwarded-for") as ws, our_server(
            "wss://127.0.0.1:0/", "forwarded-for", "cert", certificates.chain, certificates.key) as wss:
        with_nginx(place, certificates, ws, wss)
        with_haproxy(place, certificates, ws, wss)
        with_clients(certificates, ws, wss)


# ---- Python's websockets -------------------------------------------------------------------------------------------

def tls(place, certificates):
    # Not its blocking client: that reads and writes one SSL object in two threads, which CPython 3.11 lets in at once.
    # Once in some hundred times the request was never written, as the other thread was taking in a session ticket.
    try:
        from websockets.asyncio.client import connect
        from websockets.sync.server import serve
    except ImportError:
        sys.exit(f"{sys.executable} has no module websockets") if CI else sys.exit(77)

    asking, serving = ssl.create_default_context(cafile=certificates.authority), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificates.chain, certificates.key)

    async def talk(url):
        async with connect(url, ssl=asking, max_size=None, open_timeout=PATIENCE, close_timeout=PATIENCE, proxy=None) as ws:
            await ws.recv()
            for n in (0, 1, 125, 126, 65535, 65536, 1000000):
                await ws.send(b"b" * n)
                if await ws.recv() != b"b" * n:
                    raise AssertionError(f"{n} bytes")
            await ws.send(iter(["caf", "\u00e9 ", "\U0001f30d"]))
            if await ws.recv() != "caf\u00e9 \U0001f30d":
                raise AssertionError("fragments")
            await ws.close(3001, "bye")
            if ws.protocol.close_rcvd.code != 3001:
                raise AssertionError(ws.protocol.close_rcvd)

    @case("websockets is the TLS client: every length form, fragments, close codes")
    def _():
        with our_server("wss://127.0.0.1:0/", "cert", certificates.chain, certificates.key) as url:
            asyncio.run(asyncio.wait_for(talk(url), PATIENCE))

    @case("websockets is the TLS server")
    def _():
        codes = []

        def handler(ws):
            ws.send("who")
            for message in ws:
                ws.send(message)
            codes.append(ws.close_code)

        with serve(handler, "127.0.0.1", 0, ssl=serving, max_size=None) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                port = server.socket.getsockname()[1]
                echoes(f"wss://127.0.0.1:{port}/", "--ca", certificates.authority)
                refused(f"wss://127.0.0.1:{port}/", says="CA is unknown")
            finally:
                server.shutdown()
                thread.join()
        if codes != [1000]:
            raise AssertionError(codes)


def main():
    role = {"proxies": proxies, "fronts": fronts, "tls": tls}.get(sys.argv[1] if len(sys.argv) == 2 else "")
    if not role:
        sys.exit("usage: way_test.py proxies|fronts|tls")
    with tempfile.TemporaryDirectory(prefix="thrum-way-") as name:
        place = pathlib.Path(name)
        place.chmod(0o777)  # squid and dante turn to users of their own
        role(place, Certificates(place))
    print(f"{count['ok']} ok, {count['failed']} failed, {count['skipped']} skipped")
    if count["failed"]:
        sys.exit(1)
    sys.exit(0 if count["ok"] else 77)


if __name__ == "__main__":
    main()
