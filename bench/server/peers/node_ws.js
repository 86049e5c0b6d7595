// bench/server/peers/node_ws.js: node with ws, and bufferutil, its own masking in C. `node node_ws.js PORT MODE [CERT KEY]`.
// NODE_PATH says where ws is.
"use strict";
const fs = require("fs");
const { WebSocketServer } = require("ws");
const [port, mode, cert, key] = process.argv.slice(2);
const http =
  mode === "tls"
    ? require("https").createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) })
    : require("http").createServer();
const server = new WebSocketServer({ server: http, perMessageDeflate: mode === "deflate", maxPayload: 16 << 20 });

server.on("connection", (ws) => {
  ws.on("error", () => {});
  if (mode === "broadcast") {
    ws.on("message", (data, binary) => {
      for (const client of server.clients) client.send(data, { binary });
    });
  } else {
    ws.on("message", (data, binary) => ws.send(data, { binary }));
  }
});
http.listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 }, () => console.log("ready"));
