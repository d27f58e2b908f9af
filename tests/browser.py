"""A real browser, for the tests of pages."""

import json
import os
import select
import shutil
import subprocess
import time

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Browser:
    """Headless Chromium, driven over its DevTools protocol through a pipe."""

    FLAGS = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--remote-debugging-pipe",
    )
    TIMEOUT = 60

    def __init__(self, folder):
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        # Chromium reads from 3 and writes to 4.
        command = f'exec "$@" 3<&{commands} 4>&{answers}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, "bash", CHROMIUM, *self.FLAGS, f"--user-data-dir={folder}"],
            pass_fds=(commands, answers),
            env={**os.environ, "TMPDIR": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._buffer, self._count, self.events = b"", 0, []
        self._target = self._session = None

    def close(self):
        self._process.terminate()
        self._process.wait(self.TIMEOUT)
        os.close(self._commands)
        os.close(self._answers)

    def call(self, method, **parameters):
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        answer = self._wait(lambda message: message.get("id") == self._count)
        assert "error" not in answer, answer
        return answer["result"]

    def _wait(self, wanted):
        while True:
            while b"\0" not in self._buffer:
                ready, _, _ = select.select([self._answers], [], [], self.TIMEOUT)
                read = os.read(self._answers, 1 << 20) if ready else b""
                assert read, "the browser does not answer"
                self._buffer += read
            text, self._buffer = self._buffer.split(b"\0", 1)
            message = json.loads(text)
            self.events.append(message)
            if wanted(message):
                return message

    def open(self, path, *, width=1280, height=900, dark=False):
        """Shows a file in a new tab instead of the last one."""
        last, self._session, self.events = self._target, None, []
        self._target = self.call("Target.createTarget", url="about:blank")["targetId"]
        if last:
            self.call("Target.closeTarget", targetId=last)
        session = self.call("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = session["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=path.as_uri())
        self._wait(lambda message: message.get("method") == "Page.loadEventFired")

    def run(self, script):
        """The value of a JavaScript expression."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, script):
        """Until a JavaScript expression is true."""
        started = time.monotonic()
        while not self.run(script):
            assert time.monotonic() - started < self.TIMEOUT, script
            time.sleep(0.02)

    def click(self, element):
        """Clicks in the middle of what a JavaScript expression gives."""
        x, y = self.run(
            f"(() => {{ const element = {element}; element.scrollIntoView({{block: 'center'}});"
            "const box = element.getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key, code):
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                **(text if kind == "keyDown" else {}),
            )

    def complaints(self):
        """What the console of the page shows."""
        methods = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [event for event in self.events if event.get("method") in methods]

    def requests(self):
        """What the page asked for, but for itself and data inside it."""
        urls = [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
        return [url for url in urls[1:] if not url.startswith("data:")]
