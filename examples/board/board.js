// board.js: the page's side. What is said is at the top of board.c; the paper is 16000 x 10000 units everywhere.
const W = 16000, H = 10000, ERASER = 8;
const WIDTHS = [40, 90, 200], ERASER_WIDTH = 520;
const COLOURS = ['Ink', 'Coral', 'Amber', 'Green', 'Teal', 'Blue', 'Violet', 'Pink'];
const FLUSH_MS = 40, CURSOR_MS = 50, SETTLE_MS = 300, IDLE_MS = 4000, RETRY_MOST_MS = 8000, LOST_MS = 10000, CHUNK_POINTS = 300, MINE_MOST = 5000;
const $ = (id) => document.getElementById(id);

// Where it is not allowed to keep anything, it is asked each time.
const keep = {
  get(box, key) { try { return window[box].getItem(key); } catch { return null; } },
  set(box, key, value) { try { window[box].setItem(key, value); } catch { /* then not */ } },
};
const any = (list) => list[Math.floor(Math.random() * list.length)];

// ---- looks -------------------------------------------------------------------------------------------------------

const media = matchMedia('(prefers-color-scheme: dark)');
let inks = [];

function dress() {
  const dark = (keep.get('localStorage', 'board-theme') ?? (media.matches ? 'dark' : 'light')) === 'dark';
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  const style = getComputedStyle(document.documentElement);
  inks = COLOURS.map((_, i) => style.getPropertyValue(`--ink-${i}`).trim());
}

function inkOf(colour) {
  return `var(--ink-${colour % COLOURS.length})`;
}

// ---- paper -------------------------------------------------------------------------------------------------------

const ink = $('ink').getContext('2d');
let chunks = []; // all that is on the paper, in the order in which it came: {key, colour, width, points, from}
let tips = new Map(); // of each stroke, where it has come to: {x, y, mx, my}

// A curve through the middles between points, so that it has no corners. A chunk goes on where the last one ended.
function trace(c, s) {
  let tip = tips.get(c.key);
  for (let i = 0; i + 1 < c.points.length; i += 2) {
    const x = c.points[i] * s, y = c.points[i + 1] * s;
    if (!tip) {
      ink.moveTo(x, y);
      ink.lineTo(x, y + .01);
      tip = { x, y, mx: x, my: y };
      continue;
    }
    const mx = (tip.x + x) / 2, my = (tip.y + y) / 2;
    ink.moveTo(tip.mx, tip.my);
    ink.quadraticCurveTo(tip.x, tip.y, mx, my);
    tip = { x, y, mx, my };
  }
  if (tip) tips.set(c.key, tip);
}

// Chunks of one stroke, in one go: where two are drawn over each other their edges show.
function drawChunks(some) {
  const s = $('ink').width / W, [c] = some;
  ink.globalCompositeOperation = c.colour === ERASER ? 'destination-out' : 'source-over';
  ink.strokeStyle = inks[c.colour] ?? '#000';
  ink.lineWidth = Math.max(1, c.width * s);
  ink.lineCap = ink.lineJoin = 'round';
  ink.beginPath();
  for (const one of some) trace(one, s);
  const tip = tips.get(c.key);
  if (tip) {
    ink.moveTo(tip.mx, tip.my);
    ink.lineTo(tip.x, tip.y);
  }
  ink.stroke();
}

function redraw() {
  clearTimeout(redraw.timer);
  ink.clearRect(0, 0, $('ink').width, $('ink').height);
  tips = new Map();
  for (let i = 0, n; i < chunks.length; i = n) {
    for (n = i + 1; n < chunks.length && chunks[n].key === chunks[i].key;) n++;
    drawChunks(chunks.slice(i, n));
  }
  $('paper').classList.toggle('empty', chunks.length === 0 && live.size === 0);
}

function put(c) {
  chunks.push(c);
  drawChunks([c]);
  $('paper').classList.remove('empty');
  clearTimeout(redraw.timer);
  redraw.timer = setTimeout(redraw, SETTLE_MS); // finely, once nobody draws
}

function fit() {
  const box = $('paper').getBoundingClientRect(), dots = Math.min(devicePixelRatio || 1, 3);
  const w = Math.round(box.width * dots), h = Math.round(box.height * dots);
  if (w === $('ink').width && h === $('ink').height) return;
  $('ink').width = w;
  $('ink').height = h;
  redraw();
}

// ---- the server --------------------------------------------------------------------------------------------------

const room = decodeURIComponent(location.pathname.match(/^\/b\/([^/]+)$/)?.[1] ?? '');
const me = { id: 0, colour: 0, name: '', token: '' };
const people = new Map(); // id: {id, colour, name}
let ws = null, epoch = '', tries = 0, retry = 0, isReady = false;
let strokes = 0; // of mine, counted
let mine = []; // chunks of mine, so that none is lost with a connection: {text, stroke, epoch, at}

function showState(state, text) {
  document.body.dataset.state = state;
  $('state').textContent = text;
  const open = state === 'open';
  $('words').disabled = $('say').querySelector('button').disabled = !open;
}

function newToken() {
  const token = [...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16).padStart(2, '0')).join('');
  keep.set('sessionStorage', 'board-token', token);
  return token;
}

function connect() {
  clearTimeout(retry);
  showState('connecting', tries ? 'connecting again' : 'connecting');
  isReady = false;
  ws = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/board/${encodeURIComponent(room)}`);
  ws.onopen = () => ws.send(`hello ${me.token} ${me.name}`);
  ws.onmessage = (e) => take(e.data);
  ws.onclose = lost;
}

function lost(e) {
  if (e.code === 4001) me.token = newToken(); // the same tab twice: this one is somebody else from here on
  isReady = false;
  const most = Math.min(RETRY_MOST_MS, 300 * 2 ** tries++), wait = most / 2 + Math.random() * most / 2;
  showState('waiting', e.code === 1013 ? 'the board is full, trying again' : 'connection lost, trying again');
  clearTimeout(retry);
  retry = setTimeout(connect, wait);
}

function tell(text) {
  if (!isReady) return false;
  ws.send(text);
  return true;
}

function take(text) {
  const [word, ...rest] = text.split('\n', 1)[0].split(' ');
  const n = rest.map(Number);
  switch (word) {
    case 'you': return takeYou(n[0], n[1], rest[2]);
    case 'here': return takeHere({ id: n[0], colour: n[1], name: rest.slice(2).join(' ') });
    case 'gone': return takeGone(n[0]);
    case 'line': return takeLine(n);
    case 'say': return takeSay(n[0], n[1], rest.slice(2).join(' '), text.slice(text.indexOf('\n') + 1));
    case 'at': return moveCursor(n[0], n[1], n[2]);
    case 'undo': return takeUndo(n[0], n[1]);
    case 'clear': return takeClear(n[0]);
    case 'ready': return takeReady();
  }
}

function takeYou(id, colour, now) {
  const first = me.id === 0;
  Object.assign(me, { id, colour, was: epoch });
  epoch = now;
  people.clear();
  cursors.forEach((c) => c.box.remove());
  cursors.clear();
  chunks = [];
  $('chat').replaceChildren();
  redraw();
  if (first && !pen.chosen) pen.colour = colour;
  showTools();
}

// All that was remembered has come. What of mine is not among it is told again: to a new server all of it, to the
// same one what may have been lost on the way.
function takeReady() {
  const there = new Set(chunks.filter((c) => c.from === me.id).map((c) => `${c.key} ${c.points.join(' ')}`));
  tries = 0;
  isReady = true;
  showState('open', '');
  for (const m of mine) {
    const known = there.has(`${me.id}/${m.stroke} ${m.points.join(' ')}`);
    const old = m.epoch === epoch && Date.now() - m.at > LOST_MS;
    if (!known && !old) sendChunk(m);
  }
  redraw();
}

function takeHere(p) {
  const known = people.get(p.id);
  people.set(p.id, p);
  if (isReady && p.id !== me.id && known?.name !== p.name) note(known ? `${known.name} is ${p.name} now` : `${p.name} is here`);
  showPeople();
}

function takeGone(id) {
  const p = people.get(id);
  if (!p) return;
  people.delete(id);
  note(`${p.name} has left`);
  dropCursor(id);
  showPeople();
}

function takeLine([from, stroke, colour, width, ...points]) {
  put({ from, key: `${from}/${stroke}`, colour, width: Math.min(width, 2000), points });
  if (points.length > 1) moveCursor(from, points.at(-2), points.at(-1));
  if (from === me.id) strokes = Math.max(strokes, stroke);
}

function takeUndo(from, stroke) {
  chunks = chunks.filter((c) => c.key !== `${from}/${stroke}`);
  if (from === me.id) mine = mine.filter((m) => m.stroke !== stroke);
  redraw();
}

function takeClear(from) {
  chunks = [];
  mine = [];
  redraw();
  note(`${people.get(from)?.name ?? 'Somebody'} cleared the board`);
}

// ---- people ------------------------------------------------------------------------------------------------------

function make(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

function initials(name) {
  const words = name.trim().split(/\s+/);
  return words.slice(0, 2).map((w) => [...w][0] ?? '').join('').toUpperCase();
}

function face(p) {
  const f = make('span', 'face', initials(p.name));
  f.style.setProperty('--of', inkOf(p.colour));
  return f;
}

function rename(name) {
  me.name = name.trim().slice(0, 24) || me.name;
  keep.set('localStorage', 'board-name', me.name);
  const p = people.get(me.id);
  if (p) p.name = me.name;
  if (isReady) ws.send(`hello ${me.token} ${me.name}`);
  showPeople();
}

// The own line has a field for the name; it is left alone while somebody types in it.
function showPeople() {
  const list = $('people'), typing = list.contains(document.activeElement);
  const own = typing ? list.querySelector('.me') : ownLine();
  const others = [...people.values()].filter((p) => p.id !== me.id).map((p) => {
    const li = make('li');
    li.append(face(p), make('b', '', p.name));
    return li;
  });
  if (typing) {
    while (list.lastChild !== own) list.lastChild.remove();
    list.append(...others);
  } else {
    list.replaceChildren(own, ...others);
  }
  $('count').textContent = people.size;
}

function ownLine() {
  const li = make('li', 'me'), name = make('input');
  name.value = me.name;
  name.maxLength = 24;
  name.title = 'Your name';
  name.setAttribute('aria-label', 'Your name');
  name.onchange = () => rename(name.value);
  name.onkeydown = (e) => { if (e.key === 'Enter') name.blur(); };
  li.append(face(me), name, make('span', 'you', 'you'));
  return li;
}

// ---- their cursors -----------------------------------------------------------------------------------------------

const cursors = new Map(); // id: {box, timer}

function moveCursor(id, x, y) {
  const p = people.get(id);
  if (!p || id === me.id || !isReady) return;
  let c = cursors.get(id);
  if (!c) {
    c = { box: make('div', 'cursor'), tag: make('span') };
    c.box.innerHTML = '<svg viewBox="0 0 24 24"><path d="m3 2.5 6.6 18 2.8-7.6 7.6-2.8Z"/></svg>';
    c.box.append(c.tag);
    $('cursors').append(c.box);
    cursors.set(id, c);
  }
  c.tag.textContent = p.name;
  c.box.style.setProperty('--of', inkOf(p.colour));
  const box = $('paper').getBoundingClientRect();
  c.box.style.transform = `translate(${x / W * box.width}px, ${y / H * box.height}px)`;
  c.box.classList.remove('idle');
  c.box.classList.toggle('left', x > W * .85); // so that the name is not cut off
  clearTimeout(c.timer);
  c.timer = setTimeout(() => c.box.classList.add('idle'), IDLE_MS);
}

function dropCursor(id) {
  cursors.get(id)?.box.remove();
  cursors.delete(id);
}

// ---- chat --------------------------------------------------------------------------------------------------------

function addLine(li) {
  const chat = $('chat'), atEnd = chat.scrollHeight - chat.scrollTop - chat.clientHeight < 40;
  chat.append(li);
  while (chat.childElementCount > 300) chat.firstChild.remove();
  if (atEnd) chat.scrollTop = chat.scrollHeight;
}

function note(text) {
  addLine(make('li', 'note', text));
}

function takeSay(id, colour, name, text) {
  const li = make('li');
  const before = $('chat').lastElementChild;
  li.dataset.from = `${id} ${name}`;
  if (before?.dataset.from === li.dataset.from) li.className = 'same';
  li.style.setProperty('--of', inkOf(colour));
  li.append(make('b', '', name), document.createTextNode(text));
  addLine(li);
}

// ---- drawing -----------------------------------------------------------------------------------------------------

const pen = { colour: 0, width: 1, erases: false, chosen: false };
const live = new Map(); // pointerId: {stroke, colour, width, points not yet told}

function place(e) {
  const box = $('ink').getBoundingClientRect();
  const at = (v, most) => Math.max(0, Math.min(most, Math.round(v * most)));
  return [at((e.clientX - box.left) / box.width, W), at((e.clientY - box.top) / box.height, H)];
}

function sendChunk(m) {
  m.epoch = epoch;
  m.at = Date.now();
  put({ from: me.id, key: `${me.id}/${m.stroke}`, colour: m.colour, width: m.width, points: m.points });
  ws.send(`line ${m.stroke} ${m.colour} ${m.width} ${m.points.join(' ')}`);
}

// Without a connection it is drawn all the same, and told once there is one again.
function flush(l) {
  while (l.points.length > 0) {
    const m = { stroke: l.stroke, colour: l.colour, width: l.width, points: l.points.splice(0, 2 * CHUNK_POINTS) };
    mine.push(m);
    if (mine.length > MINE_MOST) mine.shift();
    if (isReady) sendChunk(m);
    else put({ from: me.id, key: `${me.id}/${m.stroke}`, colour: m.colour, width: m.width, points: m.points });
  }
}

function down(e) {
  if (e.button !== 0) return;
  e.preventDefault();
  document.activeElement?.blur();
  try { $('ink').setPointerCapture(e.pointerId); } catch { /* a pointer that is gone again */ }
  const l = { stroke: ++strokes, colour: pen.erases ? ERASER : pen.colour, width: pen.erases ? ERASER_WIDTH : WIDTHS[pen.width], points: place(e) };
  live.set(e.pointerId, l);
  flush(l);
}

let toldAt = 0;

function move(e) {
  const l = live.get(e.pointerId);
  if (!l) {
    if (Date.now() - toldAt < CURSOR_MS || e.pointerType === 'touch') return;
    toldAt = Date.now();
    tell(`at ${place(e).join(' ')}`);
    return;
  }
  const steps = e.getCoalescedEvents?.() ?? [];
  for (const s of steps.length ? steps : [e]) l.points.push(...place(s));
  l.timer ??= setTimeout(() => { l.timer = undefined; flush(l); }, FLUSH_MS);
}

function up(e) {
  const l = live.get(e.pointerId);
  if (!l) return;
  clearTimeout(l.timer);
  flush(l);
  live.delete(e.pointerId);
}

// ---- tools -------------------------------------------------------------------------------------------------------

function choose(change) {
  Object.assign(pen, change);
  showTools();
}

function showTools() {
  [...$('colours').children].forEach((b, i) => b.setAttribute('aria-pressed', !pen.erases && pen.colour === i));
  [...$('widths').children].forEach((b, i) => b.setAttribute('aria-pressed', !pen.erases && pen.width === i));
  $('erase').setAttribute('aria-pressed', pen.erases);
}

function addTool(box, className, label, property, value, onclick) {
  const b = make('button', className);
  b.type = 'button';
  b.title = label;
  b.setAttribute('aria-label', label);
  b.append(make('i'));
  b.style.setProperty(property, value);
  b.onclick = onclick;
  $(box).append(b);
}

function makeTools() {
  COLOURS.forEach((name, i) => addTool('colours', 'colour', `${name} (${i + 1})`, '--of', inkOf(i),
    () => choose({ colour: i, erases: false, chosen: true })));
  ['Fine', 'Medium', 'Broad'].forEach((name, i) => addTool('widths', 'width', name, '--d', `${[5, 9, 15][i]}px`,
    () => choose({ width: i, erases: false })));
  $('erase').onclick = () => choose({ erases: !pen.erases });
  $('undo').onclick = () => tell('undo');
  $('clear').onclick = clear;
}

// It is everybody's board, so it is to be pressed twice.
function clear() {
  const b = $('clear'), armed = b.classList.toggle('armed');
  clearTimeout(clear.timer);
  if (armed) clear.timer = setTimeout(() => b.classList.remove('armed'), 2500);
  else tell('clear');
}

function keys(e) {
  if (e.target.closest?.('input, dialog')) return;
  if ((e.ctrlKey || e.metaKey) && e.key === 'z') tell('undo');
  else if (e.ctrlKey || e.metaKey || e.altKey) return;
  else if (e.key >= '1' && e.key <= '8') choose({ colour: e.key - 1, erases: false, chosen: true });
  else if (e.key === 'e') choose({ erases: !pen.erases });
  else if (e.key === '/') $('words').focus();
  else return;
  e.preventDefault();
}

async function share() {
  const label = $('share').querySelector('span'), was = 'Copy link';
  try {
    await navigator.clipboard.writeText(location.href);
    label.textContent = 'Copied';
  } catch { // not allowed, or not over https: let it be copied by hand
    prompt('The link to this board', location.href);
  }
  setTimeout(() => { label.textContent = was; }, 1500);
}

function save() {
  const c = document.createElement('canvas'), style = getComputedStyle($('paper'));
  [c.width, c.height] = [$('ink').width, $('ink').height];
  const to = c.getContext('2d');
  to.fillStyle = style.backgroundColor;
  to.fillRect(0, 0, c.width, c.height);
  to.drawImage($('ink'), 0, 0);
  const a = make('a');
  a.download = `${room}.png`;
  a.href = c.toDataURL('image/png');
  a.click();
}

// ---- beginning ---------------------------------------------------------------------------------------------------

const FIRST = ['quiet', 'brisk', 'amber', 'lucky', 'mellow', 'bright', 'gentle', 'curious', 'swift', 'sunny'];
const ANIMALS = ['Heron', 'Otter', 'Marten', 'Wren', 'Lynx', 'Badger', 'Swift', 'Hare', 'Newt', 'Robin'];
const PLACES = ['harbour', 'meadow', 'orchard', 'lantern', 'island', 'valley', 'garden', 'summit', 'river', 'attic'];

function start() {
  document.body.dataset.state = 'start';
  $('start-room').value = `${any(FIRST)}-${any(PLACES)}`;
  $('start-name').value = keep.get('localStorage', 'board-name') ?? '';
  $('start').addEventListener('cancel', (e) => e.preventDefault());
  $('start').addEventListener('close', () => {
    const name = $('start-name').value.trim();
    if (name) keep.set('localStorage', 'board-name', name);
    location.assign(`/b/${encodeURIComponent($('start-room').value.trim())}`);
  });
  $('start').showModal();
}

function begin() {
  const first = any(FIRST);
  me.name = keep.get('localStorage', 'board-name') ?? `${first[0].toUpperCase()}${first.slice(1)} ${any(ANIMALS)}`;
  me.token = keep.get('sessionStorage', 'board-token') ?? newToken();
  $('room').textContent = room;
  document.title = `${room} \u00b7 thrum board`;
  const c = $('ink');
  c.addEventListener('pointerdown', down);
  c.addEventListener('pointermove', move);
  c.addEventListener('pointerup', up);
  c.addEventListener('pointercancel', up);
  addEventListener('keydown', keys);
  addEventListener('online', () => { if (ws.readyState > WebSocket.OPEN) connect(); });
  $('say').addEventListener('submit', (e) => {
    e.preventDefault();
    const text = $('words').value.trim();
    if (text && tell(`say ${text}`)) $('words').value = '';
  });
  $('share').onclick = share;
  $('save').onclick = save;
  connect();
}

dress();
makeTools();
showTools();
new ResizeObserver(fit).observe($('paper'));
fit();
media.addEventListener('change', () => { dress(); redraw(); });
$('theme').onclick = () => {
  keep.set('localStorage', 'board-theme', document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark');
  dress();
  redraw();
};
if (room) begin();
else start();
