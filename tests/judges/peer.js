// peer.js: node's ws, either role, with the messages of matrix.c.
//   node peer.js server MODE        prints its URL, echoes; "ended CODE REASON" of each connection
//   node peer.js client MODE URL    plays the matrix; prints "agreed EXTENSIONS", "told CODE REASON"
'use strict';
const path = require('path');
const WebSocket = require(path.join(process.env.NODE_MODULES, 'ws'));
const [role, mode, url] = process.argv.slice(2);
const deflate = mode === 'off' ? false : { threshold: 0 };
const SIZES = [0, 1, 125, 126, 65535, 65536, 1 << 20], PART = 10000;

function fill(binary, n) {
  const b = Buffer.alloc(n);
  for (let i = 0; i < n; i++)
    b[i] = binary ? (i * 7 + Math.floor(i / 251)) & 255 : 97 + ((i * i + Math.floor(i / 7)) % 23);
  return b;
}

function serve() {
  const server = new WebSocket.WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: deflate, maxPayload: 4 << 20 });
  server.on('listening', () => console.log(`ws://127.0.0.1:${server.address().port}/`));
  server.on('connection', (ws) => {
    ws.on('message', (data, binary) => {
      if (!binary && data.toString() === 'close me') ws.close(4001, 'as asked');
      else ws.send(data, { binary });
    });
    ws.on('close', (code, reason) => console.log(`ended ${code} ${reason}`));
  });
  process.stdin.resume().on('end', () => process.exit(0));
}

function open() {
  return new Promise((done, failed) => {
    const ws = new WebSocket(url, { perMessageDeflate: deflate, maxPayload: 4 << 20 });
    ws.on('upgrade', (answer) => { ws.agreed = answer.headers['sec-websocket-extensions'] || ''; });
    ws.on('open', () => done(ws)).on('error', failed);
  });
}

const echo = (ws) => new Promise((done) => ws.once('message', (data, binary) => done([data, binary])));
const closed = (ws) => new Promise((done) => ws.once('close', (code, reason) => done([code, reason.toString()])));

async function expectEcho(ws, binary, want, send) {
  const coming = echo(ws);
  send();
  const [data, kind] = await coming;
  if (kind !== binary || Buffer.compare(data, want) !== 0) throw new Error(`${want.length} bytes came back as ${data.length}`);
}

async function play() {
  const ws = await open();
  console.log(`agreed ${ws.agreed}`);
  for (const binary of [false, true]) {
    for (const n of SIZES)
      for (let twice = 0; twice < 2; twice++) {
        const b = fill(binary, n);
        await expectEcho(ws, binary, b, () => ws.send(b, { binary, compress: true }));
      }
    const whole = fill(binary, 3 * PART);
    await expectEcho(ws, binary, whole, () => {
      for (let i = 0; i < 3; i++) ws.send(whole.subarray(i * PART, (i + 1) * PART), { binary, fin: i === 2, compress: true });
    });
  }
  let end = closed(ws);
  ws.close(3001, 'bye');
  console.log(`answered ${(await end)[0]}`);
  const other = await open();
  end = closed(other);
  other.send('close me');
  console.log(`told ${(await end).join(' ')}`);
}

if (role === 'server') serve();
else play().catch((e) => { console.error(e); process.exit(1); });
