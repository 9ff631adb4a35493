"""The conversation with one machine's receiver: one SSH connection, requests and answers, one JSON object a line."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from importlib.resources import files
from types import TracebackType
from typing import Any, BinaryIO, Literal

from deploy.fleet.kit import Archive
from deploy.fleet.links import Connection, LinkError, Links, Trouble
from deploy.journal import Event, parse_event

Message = dict[str, Any]

_CHUNK = 1 << 16
_LONGEST_JOURNAL = 600.0
"""Seconds that a journal may take on a bad line."""

BOOTSTRAP = """import os
def take(n):
    got = b""
    while len(got) < n:
        piece = os.read(0, n - len(got))
        if not piece:
            raise SystemExit(1)
        got += piece
    return got
exec(compile(take(int(take(8))), "<lienxa>", "exec"), {"__name__": "__main__"})"""
"""Reads a program from standard input and becomes it: its length in 8 digits, then its text."""


class RefusedError(Exception):
    """The machine answered, and will not do it; says why and what to do."""


class DroppedError(Exception):
    """The machine stopped talking in the middle."""


def ask(links: Links, machine: str, request: Message, timeout: float = 60) -> Message:
    """One question to a machine's receiver (`status`, `stop`, `hello`). Raises LinkError or RefusedError."""
    with Conversation(links, machine) as talk, limited(talk, timeout):
        return talk.ask(request)


def stop(links: Links, machine: str) -> Message | None:
    """Ask the run that is on at a machine to end after its present operation; which it is, or None without one."""
    run: Message | None = ask(links, machine, {"do": "stop"}).get("run")
    return run


def journal(links: Links, machine: str, run: str | None = None) -> tuple[list[Event], bool]:
    """What a run (None: the newest) has written so far, and whether it is at work. Raises as `ask` does."""
    events = []
    with Conversation(links, machine) as talk, limited(talk, _LONGEST_JOURNAL):
        talk.send({"do": "journal", "run": run})
        while "event" in (answer := talk.receive()):
            events.append(parse_event(answer["event"]))
        return events, bool(answer["on"])


def status(links: Links, machine: str, runs: int = 1) -> Message:
    """What a machine knows of itself: `state`, `runs` (first and last event, newest first), `holder`, `running`."""
    return ask(links, machine, {"do": "status", "runs": runs})


class Conversation:
    """One SSH connection to a machine's receiver. A context manager."""

    def __init__(self, links: Links, machine: str, package_port: int | None = None) -> None:
        self._links = links
        self._machine = machine
        become_root = "" if links.access.user == "root" else "sudo -n -- "
        remote = f"env LC_ALL=C {become_root}python3 -I -c '{BOOTSTRAP}'"
        self._connection: Connection = links.open(machine, remote, package_port)
        self._program: bytes | None = (files("deploy.runner") / "receiver.py").read_bytes()

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Turns a conversation that broke off into the LinkError or RefusedError that says why."""
        code, stderr = self._connection.end(at_once=kind is None)
        if kind is not None and issubclass(kind, DroppedError):
            raise self._why(code, stderr) from None

    def send(self, message: Message, body: bytes = b"") -> None:
        """One request. Raises DroppedError."""
        head = json.dumps(message | ({"size": len(body)} if body else {})).encode() + b"\n"
        if self._program is not None:
            head = f"{len(self._program):08d}".encode() + self._program + head
            self._program = None
        self._write(head + body)

    def receive(self) -> Message:
        """The next answer. Raises DroppedError, or RefusedError where it is one."""
        line = b""
        while not line.startswith(b'{"'):  # a login shell's start-up files may print a greeting of their own
            line = self._connection.stdout.readline()
            if not line.endswith(b"\n"):
                raise DroppedError
        answer: Message = json.loads(line)
        if answer.get("error") == "busy":
            raise RefusedError(busy(answer.get("holder") or {}))
        if "error" in answer:
            raise RefusedError(str(answer["error"]))
        return answer

    def ask(self, message: Message, body: bytes = b"") -> Message:
        """One request and its answer."""
        self.send(message, body)
        return self.receive()

    def upload(self, archive: Archive, arrived: int, keep: Literal["no", "too", "only"] = "no") -> Iterator[int]:
        """Send an archive from byte `arrived` on; yields how many bytes the machine has, up to all of them.

        `keep`: whether it is kept as it is for other machines, too or only.
        """
        head: Message = {"do": "upload", "name": archive.name, "sha256": archive.sha256, "total": archive.size}
        head |= {"base": archive.base, "gone": archive.gone, "keep": keep}
        file = self._opened(archive)
        file.seek(arrived)
        self.send(head | {"offset": arrived, "size": archive.size - arrived})
        sender = threading.Thread(target=self._pour, args=(file,), name=f"upload-{self._machine}", daemon=True)
        sender.start()
        while "installed" not in (answer := self.receive()):
            if "again" in answer:  # what was there when it said hello is not there any more: it has to be asked anew
                raise DroppedError
            yield answer["arrived"]
        sender.join()

    def end(self) -> None:
        """Close the connection from another thread; whoever waits for an answer gets DroppedError."""
        self._connection.end()

    @staticmethod
    def _opened(archive: Archive) -> BinaryIO:
        """Opened before its size is promised: another lienxa, of another version, may tidy the cache meanwhile."""
        try:
            return archive.path.open("rb")
        except FileNotFoundError as error:
            raise RefusedError(f"{archive.path} has just been tidied away; run the same again") from error

    def _pour(self, file: BinaryIO) -> None:
        with file, contextlib.suppress(DroppedError):
            while piece := file.read(_CHUNK):
                self._write(piece)

    def _write(self, data: bytes) -> None:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._connection.stdin.write(rest) :]
        except (OSError, ValueError) as broken:
            raise DroppedError from broken

    def _why(self, code: int, stderr: str) -> Exception:
        if code == 255 or code < 0:
            return self._links.explain(self._machine, stderr)
        if "python3: not found" in stderr or "python3: command not found" in stderr:
            return RefusedError("python3 is not installed there; install it with `apt-get install python3`")
        error = self._links.explain(self._machine, stderr)
        if error.trouble is not Trouble.UNREACHABLE:
            return error
        last = stderr.strip().splitlines()[-1:] or [f"exit code {code}"]
        return LinkError(self._machine, Trouble.UNREACHABLE, f"{self._machine}: the receiver ended early ({last[0]})")


def busy(on: Message) -> str:
    """Who is at work on a machine, and what can be done about it."""
    who = on.get("by") or on.get("who") or "somebody"
    since = f" since {on['since']}" if on.get("since") else ""
    run = f" (run {on['run']}{', ' + on['action'] if on.get('action') else ''})" if on.get("run") else ""
    return (
        f"another run is on there, by {who}{since}{run}; wait for its end, follow it with `lienxa attach`, or end it "
        "after its present operation with `lienxa stop`"
    )


@contextlib.contextmanager
def limited(talk: Conversation, seconds: float | None) -> Iterator[None]:
    """End the conversation after that time (None: never): whoever waits for an answer then gets DroppedError."""
    if seconds is None:
        yield
        return
    timer: threading.Timer = threading.Timer(seconds, talk.end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
