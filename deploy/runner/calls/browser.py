"""Chromium without a screen, led over a pipe (Chrome DevTools Protocol), with the machine's own policies.

It runs in a transient unit: what it leaves behind goes with the unit, and so does one that does not end by itself.
"""

from __future__ import annotations

import json
import os
import pwd
import selectors
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POLICIES = Path("/etc/chromium/policies/managed")
RUNTIME = Path("/run/user")
PROGRAM = "/usr/bin/chromium"
UNIT = "lienxa-call"
_FORBIDS = ("DeveloperToolsAvailability", "RemoteDebuggingAllowed")
"""Policies against people who look into pages; we have to. All others hold for the test as for everybody."""
_FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--mute-audio",
)
GENERATED = "--use-fake-device-for-media-stream"
_ANSWER_SECONDS = 60.0
_ENDS_SECONDS = 15.0


class BrowserError(Exception):
    """The browser did not do as it was told; says what it said."""


@dataclass(frozen=True)
class Sitter:
    """As whom the browser runs. Camera, microphone and sound server belong to who sits at the machine (logind)."""

    user: str | None = None
    """None: an account that exists only for the unit."""
    runtime: str = ""
    """Its XDG_RUNTIME_DIR."""

    @property
    def properties(self) -> tuple[str, ...]:
        """For systemd-run."""
        if self.user is None:
            return ("DynamicUser=yes",)
        return (f"User={self.user}", "PrivateTmp=yes", f"Environment=XDG_RUNTIME_DIR={self.runtime}")


def sitter() -> Sitter:
    """Who has the seat's active session and a sound server; else nobody in particular."""
    session = _told("loginctl", "show-seat", "seat0", "--property=ActiveSession", "--value")
    if not session:
        return Sitter()
    shown = _told("loginctl", "show-session", session, "--property=User", "--property=Class")
    told = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    runtime = RUNTIME / told.get("User", "")
    if told.get("Class") != "user" or told.get("User") in {"", "0"} or not (runtime / "pulse/native").exists():
        return Sitter()
    return Sitter(pwd.getpwuid(int(told["User"])).pw_name, str(runtime))


def has_devices() -> bool:
    """Whether there are a camera and a microphone."""
    camera = any(Path("/dev").glob("video*"))
    sound = Path("/proc/asound/pcm")
    return camera and sound.exists() and "capture" in sound.read_text(encoding="utf-8")


class Page:
    """One page of the browser's."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def before_its_scripts(self, script: str) -> None:
        """Run it in every page from now on, first of all."""
        self._browser.call("Page.enable", session=self._session)
        self._browser.call("Page.addScriptToEvaluateOnNewDocument", {"source": script}, session=self._session)

    def open(self, url: str) -> None:
        """Go there. Raises BrowserError with the browser's word for why not (`net::ERR_NAME_NOT_RESOLVED`)."""
        gone = self._browser.call("Page.navigate", {"url": url}, session=self._session)
        if gone.get("errorText"):
            raise BrowserError(str(gone["errorText"]))

    def ask(self, expression: str) -> Any:  # noqa: ANN401 whatever the page says
        """What a JavaScript expression comes to, promises waited for. Raises BrowserError where it throws."""
        how = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        said = self._browser.call("Runtime.evaluate", how, session=self._session)
        if "exceptionDetails" in said:
            raise BrowserError(str(said["exceptionDetails"].get("text", "the page's script failed")))
        return said["result"].get("value")


class Browser:
    """The pipe to a browser: JSON messages, a zero byte after each."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._write = process.stdin
        self._read = process.stdout.fileno()
        self._waiting = b""
        self._number = 0

    def page(self) -> Page:
        """A new empty page."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        return Page(self, self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"])

    def call(self, method: str, parameters: Mapping[str, Any] | None = None, *, session: str = "") -> dict[str, Any]:
        """One command and what came of it. Raises BrowserError."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": dict(parameters or {})}
        if session:
            message["sessionId"] = session
        try:
            self._write.write(json.dumps(message).encode() + b"\0")
            self._write.flush()
        except OSError as error:
            raise BrowserError("it has ended") from error
        until = time.monotonic() + _ANSWER_SECONDS
        while True:
            answer = self._next(until)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error'].get('message', '')}")
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self, until: float) -> dict[str, Any]:
        with selectors.DefaultSelector() as selector:
            selector.register(self._read, selectors.EVENT_READ)
            while b"\0" not in self._waiting:
                if not selector.select(max(0.0, until - time.monotonic())):
                    raise BrowserError(f"no answer in {_ANSWER_SECONDS:.0f} s")
                piece = os.read(self._read, 1 << 16)
                if not piece:
                    raise BrowserError("it has ended")
                self._waiting += piece
        message, _, self._waiting = self._waiting.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


@contextmanager
def browser(folder: Path, seconds: float, *, generated: bool) -> Iterator[Browser]:
    """A browser with an empty profile; gone afterwards, and after `seconds` in any case.

    `folder`: of ours, for what it is given. `generated`: picture and sound are Chromium's own instead of devices'.
    """
    policies = _policies(folder)
    with tempfile.TemporaryFile() as said:
        command = _command(policies, seconds, sitter(), generated=generated)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said)
        try:
            yield Browser(process)
        except BrowserError as error:
            said.seek(0)
            last = said.read().decode(errors="replace").strip().splitlines()[-3:]
            raise BrowserError(" / ".join((str(error), *last))) from error
        finally:
            _ended(process)


def _ended(process: subprocess.Popen[bytes]) -> None:
    subprocess.run(["systemctl", "stop", f"{UNIT}.service"], capture_output=True, check=False)
    try:
        process.wait(_ENDS_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _command(policies: Path, seconds: float, who: Sitter, *, generated: bool) -> list[str]:
    properties = (
        *who.properties,
        f"RuntimeMaxSec={seconds:.0f}",
        f"BindReadOnlyPaths={policies}:{POLICIES}",
        "RuntimeDirectory=lienxa-call",
        "RuntimeDirectoryMode=0700",
        "Environment=HOME=/run/lienxa-call",
        "SupplementaryGroups=audio video",
        "TimeoutStopSec=5",
    )
    flags = [*_FLAGS, "--user-data-dir=/run/lienxa-call/profile", *([GENERATED] if generated else [])]
    # The pipe's two ends are where Chromium looks for them; what it prints goes the other way.
    start = f'exec 3<&0 4>&1 </dev/null 1>&2; exec {PROGRAM} "$@"'
    return [
        *("systemd-run", "--quiet", "--pipe", "--wait", "--collect", f"--unit={UNIT}"),
        *(f"--property={one}" for one in properties),
        *("sh", "-c", start, "sh", *flags),
    ]


def _policies(folder: Path) -> Path:
    """The machine's policies for the browser, in a folder that everybody may read."""
    given = folder / "policies"
    given.mkdir(mode=0o755, parents=True)
    given.chmod(0o755)
    for file in sorted(POLICIES.glob("*.json")):
        told = json.loads(file.read_text(encoding="utf-8"))
        left = {name: value for name, value in told.items() if name not in _FORBIDS}
        copy = given / file.name
        copy.write_text(json.dumps(left), encoding="utf-8")
        copy.chmod(0o644)
    return given


def _told(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
