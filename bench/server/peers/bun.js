// bench/server/peers/bun.js: bun's server, which is uWebSockets inside. `bun bun.js PORT MODE [CERT KEY | dedicated]`.
// MODE: echo, tls, broadcast, or deflate: by one compressor for all connections (bun's default), or `dedicated`, one for
// each connection, which keeps its context.
const [port, mode, ...rest] = process.argv.slice(2);
const deflate = mode === "deflate";
const dedicated = rest[0] === "dedicated";
const kinds = { compress: dedicated ? "dedicated" : "shared", decompress: dedicated ? "dedicated" : "shared" };
const echo = (ws, message) => ws.send(message);
const echoCompressed = (ws, message) => ws.send(message, true);

const server = Bun.serve({
  port: Number(port),
  hostname: "127.0.0.1",
  reusePort: process.env.BENCH_REUSEPORT !== undefined,
  tls: mode === "tls" ? { cert: Bun.file(rest[0]), key: Bun.file(rest[1]) } : undefined,
  fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("no WebSocket", { status: 400 })),
  websocket: {
    perMessageDeflate: deflate ? kinds : false,
    maxPayloadLength: 16 << 20,
    backpressureLimit: 64 << 20,
    idleTimeout: 0,
    sendPings: false,
    open: mode === "broadcast" ? (ws) => ws.subscribe("all") : undefined,
    message: mode === "broadcast" ? (_, message) => server.publish("all", message) : deflate ? echoCompressed : echo,
  },
});
console.log("ready");
