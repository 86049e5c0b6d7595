#!/usr/bin/env python3
"""board_test.py: examples/board in headless Chromium: people in tabs of their own who draw, talk, come late, come from a
phone, leave, and live through a restart of the server. Writes build/board/*.png.

BOARD names the program. Status 77: Chromium is not to be had here; under CI=true that is a failure. Every wait has a
bound, and only processes started here are ended."""

import math
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request

from devtools import Browser

BOARD = os.environ.get("BOARD", "board")
PICTURES = pathlib.Path(__file__).resolve().parent.parent.parent / "build" / "board"
PATIENCE = 30
CORAL, AMBER, GREEN, BLUE = "rgb(226, 88, 62)", "rgb(217, 147, 13)", "rgb(58, 157, 99)", "rgb(47, 111, 222)"


class Server:
    def __init__(self, port=0):
        self.process = subprocess.Popen([BOARD, f"ws://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        self.port = int(self.url.rsplit(":", 1)[1].strip("/"))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE)
        self.process.stdout.close()
        return status


def until(condition, what):
    """Waits for something that will be true."""
    give_up = time.monotonic() + PATIENCE
    while not (value := condition()):
        if time.monotonic() > give_up:
            raise AssertionError(f"did not come: {what}")
        time.sleep(0.02)
    return value


class Person:
    """Somebody at a board of a browser's."""

    def __init__(self, browser, url, name=None, **how):
        self.tab = browser.tab(url, **how)
        until(lambda: self.tab.ask("document.body?.dataset.state") == "open", "a connection")
        if name:
            self.tab.click("#people input")
            self.tab.ask("document.activeElement.select()")
            self.tab.type(name)
            self.tab.key("Enter", "Enter", 13)

    def where(self, points):
        """Points of the paper, 0 to 1, in the window."""
        x, y, w, h = self.tab.ask("(() => { const b = document.getElementById('ink').getBoundingClientRect();"
                                  " return [b.x, b.y, b.width, b.height]; })()")
        return [(x + u * w, y + v * h) for u, v in points]

    def draw(self, points):
        first, *rest = self.where(points)
        self.tab.mouse("mousePressed", *first)
        for p in rest:
            self.tab.mouse("mouseMoved", *p)
        self.tab.mouse("mouseReleased", *(rest or [first])[-1])

    def touch(self, points):
        first, *rest = self.where(points)
        for kind, p in [("touchStart", first), *(("touchMove", p) for p in rest)]:
            self.tab.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": p[0], "y": p[1]}])
        self.tab.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def colour_at(self, u, v):
        """Of what is drawn there: None or its colour, the most opaque pixel of a few."""
        r, g, b, a = self.tab.ask(
            "(() => { const c = document.getElementById('ink'); const d = c.getContext('2d')"
            f".getImageData({u} * c.width - 4, {v} * c.height - 4, 9, 9).data; let at = 0;"
            " for (let i = 0; i < d.length; i += 4) if (d[i + 3] > d[at + 3]) at = i;"
            " return [...d.slice(at, at + 4)]; })()")
        return f"rgb({r}, {g}, {b})" if a > 200 else None

    def sees(self, u, v, colour=None):
        until(lambda: (self.colour_at(u, v) is not None) if colour is None else self.colour_at(u, v) == colour,
              f"{colour or 'something'} drawn at {u}, {v} (is {self.colour_at(u, v)})")

    def sees_nothing(self, u, v):
        until(lambda: self.colour_at(u, v) is None, f"nothing drawn at {u}, {v}")

    def people(self):
        return self.tab.ask("[...document.querySelectorAll('#people li')]"
                            ".map((li) => li.querySelector('input')?.value ?? li.querySelector('b').textContent)")

    def sees_people(self, *names):
        until(lambda: self.people() == list(names), f"people {names}")
        assert self.tab.ask("document.getElementById('count').textContent") == str(len(names))

    def say(self, text):
        self.tab.click("#words")
        self.tab.type(text)
        self.tab.key("Enter", "Enter", 13)

    def hears(self, name, text):
        until(lambda: [name, text] in self.tab.ask(
            "[...document.querySelectorAll('#chat li:not(.note)')]"
            ".map((li) => [li.querySelector('b').textContent, li.lastChild.textContent])"), f"{name}: {text}")


def wave(y, lift=0.022):
    return [(0.06 + 0.88 * i / 90, y + lift * math.sin(i / 3.6)) for i in range(91)]


def ring(u, v, r, turns=1.0):
    return [(u + r * math.cos(i / 30 * 2 * math.pi), v + 1.6 * r * math.sin(i / 30 * 2 * math.pi)) for i in range(int(30 * turns) + 1)]


BOAT = [[(0.30, 0.60), (0.34, 0.69), (0.52, 0.69), (0.58, 0.60), (0.30, 0.60)], [(0.43, 0.60), (0.43, 0.22)],
        [(0.445, 0.25), (0.50, 0.36), (0.56, 0.53), (0.445, 0.55)], [(0.415, 0.31), (0.38, 0.42), (0.33, 0.53), (0.415, 0.55)]]


def smooth(corners, steps=12):
    """Along straight lines, as a hand would: many points."""
    out = [corners[0]]
    for (a, b), (c, d) in zip(corners, corners[1:]):
        out += [(a + (c - a) * i / steps, b + (d - b) * i / steps) for i in range(1, steps + 1)]
    return out


class Http(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(lambda: self.assertEqual(self.server.stop(), 0))

    def get(self, path, method="GET"):
        request = urllib.request.Request(self.server.url.rstrip("/") + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def test_page_and_its_files(self):
        for path, kind, word in (("/", "text/html", b"<canvas"), ("/b/a%20room", "text/html", b"<canvas"),
                                 ("/board.css", "text/css", b"#paper"), ("/board.js", "text/javascript", b"WebSocket")):
            status, headers, body = self.get(path)
            self.assertEqual(status, 200, path)
            self.assertTrue(headers["Content-Type"].startswith(kind), path)
            self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
            self.assertIn(word, body)
            self.assertEqual(int(headers["Content-Length"]), len(body))
        self.assertEqual(self.get("/", "HEAD")[2], b"")

    def test_what_is_not_there(self):
        for path, method, status in (("/nowhere", "GET", 404), ("/", "POST", 405), ("/b/" + "x" * 49, "GET", 404),
                                     ("/b/%2A", "GET", 404), ("/board/room", "GET", 426), ("/board/%0A", "GET", 404)):
            self.assertEqual(self.get(path, method)[0], status, path)


class Board(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser()
        PICTURES.mkdir(parents=True, exist_ok=True)

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()

    def setUp(self):
        self.server = Server()
        self.tabs = []
        self.addCleanup(self.end)

    def end(self):
        complaints = [c for p in self.tabs for c in p.tab.complaints() if "WebSocket connection to" not in c]
        for p in self.tabs:
            p.tab.close()
        self.assertEqual(self.server.stop(), 0)
        self.assertEqual(complaints, [])

    def come(self, name=None, room="harbour", **how):
        self.tabs.append(Person(self.browser, f"{self.server.url}b/{room}", name, **how))
        return self.tabs[-1]

    def leave(self, person):
        self.tabs.remove(person)
        person.tab.close()

    def picture_of_both(self, a, b):
        """Side by side, by a page that shows the two."""
        import base64
        images = "".join(f'<img style="width:50%" src="data:image/png;base64,{base64.b64encode(p.read_bytes()).decode()}">'
                         for p in (a, b))
        tab = self.browser.tab("about:blank", width=2560, height=800, dots=1)
        frame = tab.call("Page.getFrameTree")["frameTree"]["frame"]["id"]
        tab.call("Page.setDocumentContent", frameId=frame, html=f'<body style="margin:0;display:flex">{images}</body>')
        until(lambda: tab.ask("[...document.images].length === 2 && [...document.images].every((i) => i.complete)"), "the images")
        tab.picture(PICTURES / "both.png")
        tab.close()

    def test_two_draw_and_talk(self):
        ada, grace = self.come("Ada"), self.come("Grace", dark=True)
        ada.sees_people("Ada", "Grace")
        grace.sees_people("Grace", "Ada")
        ada.sees_nothing(0.43, 0.4)
        grace.sees_nothing(0.43, 0.4)

        for part in BOAT:
            ada.draw(smooth(part))
        ada.sees(0.43, 0.4, CORAL)
        grace.sees(0.43, 0.4, "rgb(255, 122, 92)")  # coral by night
        grace.draw(ring(0.80, 0.26, 0.07))
        for i in range(8):
            u, v = math.cos(i * math.pi / 4), 1.6 * math.sin(i * math.pi / 4)
            grace.draw([(0.80 + 0.095 * u, 0.26 + 0.095 * v), (0.80 + 0.125 * u, 0.26 + 0.125 * v)])
        ada.sees(0.87, 0.26, AMBER)

        ada.tab.click("#colours button:nth-child(6)")
        ada.draw(wave(0.72))
        ada.tab.click("#colours button:nth-child(5)")
        ada.draw(wave(0.80))
        grace.tab.click("#widths button:nth-child(1)")
        grace.tab.click("#colours button:nth-child(1)")
        for u, v in ((0.16, 0.22), (0.24, 0.30), (0.14, 0.36)):
            grace.draw(smooth([(u - 0.03, v - 0.01), (u - 0.018, v - 0.03), (u, v), (u + 0.018, v - 0.03), (u + 0.03, v - 0.01)], 4))
        ada.sees(0.151, 0.205)

        ada.say("Where does it sail?")
        grace.hears("Ada", "Where does it sail?")
        grace.say("Towards the sun, I think.")
        grace.say("Ahoy! \u2600")
        ada.hears("Grace", "Towards the sun, I think.")
        ada.hears("Grace", "Ahoy! \u2600")
        until(lambda: ada.tab.ask("document.querySelector('.cursor span')?.textContent") == "Grace", "Grace's cursor")

        grace.tab.mouse("mouseMoved", *grace.where([(0.60, 0.45)])[0], held=False)
        ada.tab.mouse("mouseMoved", *ada.where([(0.66, 0.62)])[0], held=False)
        for p in (ada, grace):
            p.tab.ask("document.activeElement.blur()")
        time.sleep(0.4)  # what fades in has done so, for the pictures only
        ada.tab.picture(PICTURES / "ada.png")
        grace.tab.picture(PICTURES / "grace.png")
        self.picture_of_both(PICTURES / "ada.png", PICTURES / "grace.png")

        self.leave(grace)
        ada.sees_people("Ada")
        until(lambda: ada.tab.ask("!document.querySelector('.cursor')"), "her cursor to go")

    def test_late_comers_and_rooms(self):
        ada = self.come("Ada")
        ada.draw(wave(0.5))
        ada.say("early")
        ada.sees(0.06, 0.5, CORAL)
        late = self.come("Late")
        late.sees(0.06, 0.5, CORAL)
        late.hears("Ada", "early")
        other = self.come("Other", room="elsewhere")
        other.sees_people("Other")
        other.draw(wave(0.2))
        other.sees(0.06, 0.2)
        ada.draw(wave(0.8))
        late.sees(0.06, 0.8)  # what is told later has come, so what was told before would have
        self.assertIsNone(late.colour_at(0.06, 0.2))
        self.assertIsNone(other.colour_at(0.06, 0.5))

    def test_a_phone(self):
        ada, phone = self.come("Ada"), self.come(width=390, height=844, dots=2, phone=True)
        phone.touch(wave(0.4))
        ada.sees(0.06, 0.4, AMBER)
        ada.draw(wave(0.6))
        phone.sees(0.06, 0.6, CORAL)
        self.assertTrue(phone.tab.ask("document.documentElement.scrollWidth <= innerWidth"))
        phone.say("<b>from</b> a phone & \U0001f4f1")
        ada.hears(phone.people()[0], "<b>from</b> a phone & \U0001f4f1")  # text, not markup
        time.sleep(0.4)
        phone.tab.picture(PICTURES / "phone.png")

    def test_undo_eraser_and_clear(self):
        ada, grace = self.come("Ada"), self.come("Grace")
        ada.draw(wave(0.3))
        grace.draw(wave(0.6))
        ada.draw(wave(0.8))
        ada.sees(0.06, 0.6, AMBER)
        grace.sees(0.06, 0.8, CORAL)
        ada.tab.key("z", "KeyZ", 90, modifiers=2)
        for p in (ada, grace):
            p.sees_nothing(0.06, 0.8)  # her last one
        ada.tab.click("#undo")
        for p in (ada, grace):
            p.sees_nothing(0.06, 0.3)
        self.assertEqual(ada.colour_at(0.06, 0.6), AMBER)  # not Grace's
        ada.tab.click("#erase")
        ada.draw([(0.02, 0.6), (0.06, 0.6), (0.1, 0.6)])
        for p in (ada, grace):
            p.sees_nothing(0.06, 0.6)
            self.assertEqual(p.colour_at(0.7, 0.6 + 0.022 * math.sin((0.7 - 0.06) / 0.88 * 25)), AMBER)
        self.come("Late").sees(0.94, 0.6 + 0.022 * math.sin(25))
        ada.tab.click("#clear")
        self.assertIsNotNone(grace.colour_at(0.94, 0.6 + 0.022 * math.sin(25)))  # pressed once does nothing
        ada.tab.click("#clear")
        for p in self.tabs:
            p.sees_nothing(0.94, 0.6 + 0.022 * math.sin(25))
        self.come("Later").sees_people("Later", "Ada", "Grace", "Late")

    def test_a_restart_of_the_server(self):
        ada, grace = self.come("Ada"), self.come("Grace")
        ada.draw(wave(0.3))
        grace.draw(wave(0.6))
        ada.sees(0.06, 0.6)
        self.assertEqual(self.server.stop(), 0)
        for p in (ada, grace):
            until(lambda p=p: p.tab.ask("document.body.dataset.state") != "open", "the loss to be noticed")
        ada.draw(wave(0.8))  # while nobody is there
        self.server = Server(self.server.port)
        for p in (ada, grace):
            until(lambda p=p: p.tab.ask("document.body.dataset.state") == "open", "to be connected again")
        for p in (ada, grace, self.come("Late")):
            for y in (0.3, 0.6, 0.8):
                p.sees(0.06, y)
        until(lambda: sorted(ada.people()) == ["Ada", "Grace", "Late"], "all three")
        ada.tab.click("#undo")
        grace.sees_nothing(0.06, 0.8)  # it is known whose they are

    def test_nonsense_is_not_served(self):
        ada = self.come("Ada")
        said = ada.tab.ask("""Promise.all(['fly', 'line 1 2 3 4', 'hello short x', 'hello 0123456789abcdef A\\nline 1 x',
            'hello 0123456789abcdef A\\nline 0 1 2 3 4', 'hello 0123456789abcdef A\\nsay ' + 'x'.repeat(9000),
            'hello 0123456789abcdef A\\nundo\\nat 1 2\\nfly'].map((lines) => new Promise((done) => {
                const ws = new WebSocket(location.origin.replace('http', 'ws') + '/board/other' + Math.random());
                ws.onopen = () => lines.split('\\n').forEach((l) => ws.send(l));
                ws.onclose = (e) => done(e.code);
            })))""")
        self.assertEqual(said, [1008, 1008, 1008, 1008, 1008, 1009, 1008])
        ada.draw(wave(0.5))
        ada.sees(0.06, 0.5)  # nobody else has noticed

    def test_the_start(self):
        start = self.browser.tab(self.server.url)
        until(lambda: start.ask("document.body?.dataset.state") == "start", "the start")
        start.ask("document.getElementById('start-room').select()")
        start.click("#start-room")
        start.ask("document.getElementById('start-room').select()")
        start.type("caf\u00e9 room")
        start.click("#start-name")
        start.type("Zo\u00eb")
        start.picture(PICTURES / "start.png")
        start.click(".primary")
        until(lambda: start.ask("document.body?.dataset.state") == "open", "the board")
        self.assertEqual(start.ask("document.getElementById('room').textContent"), "caf\u00e9 room")
        self.assertEqual(start.ask("document.querySelector('#people input').value"), "Zo\u00eb")
        start.close()


if __name__ == "__main__":
    if not shutil.which("chromium"):
        print("skipped: chromium is not installed")
        sys.exit(1 if os.environ.get("CI") == "true" else 77)
    unittest.main()
