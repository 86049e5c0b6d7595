"""devtools.py: Chromium by its DevTools protocol over a pair of pipes (--remote-debugging-pipe): JSON, each message ended
by a NUL. Nothing but Python's own library is needed, and no port."""

import base64
import contextlib
import json
import os
import subprocess
import tempfile
import threading

PATIENCE = 30


class Browser:
    def __init__(self, program="chromium"):
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        there, self.out = os.pipe()  # it reads from descriptor 3 and writes to 4
        self.into, back = os.pipe()
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{there} 4>&{back}', "bash", program, "--headless=new", "--no-sandbox",
             "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars", "--force-color-profile=srgb",
             "--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows",
             "--remote-debugging-pipe", f"--user-data-dir={self.folder.name}", "about:blank"],
            pass_fds=(there, back), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(there)
        os.close(back)
        self.answers, self.events, self.number, self.news = {}, [], 0, threading.Condition()
        self.gone = False
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        data = b""
        with os.fdopen(self.into, "rb", buffering=0) as pipe:
            while more := pipe.read(1 << 16):
                *whole, data = (data + more).split(b"\0")
                for message in map(json.loads, whole):
                    with self.news:
                        if "id" in message:
                            self.answers[message["id"]] = message
                        else:
                            self.events.append(message)
                        self.news.notify_all()
        with self.news:
            self.gone = True
            self.news.notify_all()

    def call(self, method, session=None, **parameters):
        with self.news:
            self.number += 1
            number = self.number
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        with self.news:
            if not self.news.wait_for(lambda: number in self.answers or self.gone, PATIENCE):
                raise TimeoutError(method)
            answer = self.answers.pop(number, {"error": "the browser has ended"})
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def tab(self, url, **how):
        return Tab(self, url, **how)

    def close(self):
        with contextlib.suppress(Exception):
            self.call("Browser.close")
        os.close(self.out)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Tab:
    """A tab of its own profile, as if it were somebody else's browser."""

    def __init__(self, browser, url, width=1280, height=800, dots=2, dark=False, phone=False):
        self.browser = browser
        context = browser.call("Target.createBrowserContext")["browserContextId"]
        self.target = browser.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=dots, mobile=phone)
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        if phone:
            self.call("Emulation.setTouchEmulationEnabled", enabled=True)
        self.call("Page.navigate", url=url)

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def ask(self, expression):
        """The value of an expression in the page; None while it gives way to another one."""
        try:
            answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        except RuntimeError as error:
            if "navigated" in str(error):
                return None
            raise
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"].get("exception", {}).get("description", expression))
        return answer["result"].get("value")

    def mouse(self, kind, x, y, held=True):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left" if held else "none", buttons=1 if held else 0,
                  clickCount=1 if kind != "mouseMoved" else 0)

    def click(self, selector):
        x, y = self.ask(f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
                        " return [b.x + b.width / 2, b.y + b.height / 2]; })()")
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def key(self, key, code, number, modifiers=0):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=code, windowsVirtualKeyCode=number, modifiers=modifiers,
                      **({"text": "\r"} if key == "Enter" and kind == "keyDown" else {}))

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def complaints(self):
        """What went wrong in the page: errors that nobody caught, and what the browser has logged as one."""
        out = []
        for event in [e for e in self.browser.events if e.get("sessionId") == self.session]:
            what = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                out.append(what["exceptionDetails"].get("exception", {}).get("description", str(what)))
            elif event["method"] == "Log.entryAdded" and what["entry"]["level"] == "error":
                out.append(f"{what['entry']['text']} {what['entry'].get('url', '')}")
        return out

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)
