"""Shipping: the conversation with one machine, from the first contact to the last event of its run.

The run is the machine's own; this side only starts it and follows its journal. Whenever the line drops, it connects
again, says hello, and goes on where it was: an upload at the byte, the journal at the event.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from types import TracebackType
from typing import Any, BinaryIO

from deploy.fleet.kit import Archive, KitError, Kits
from deploy.fleet.links import Connection, LinkError, Links, Trouble
from deploy.fleet.updates import State, Update
from deploy.journal import RunEnded, parse_event
from deploy.order import Request

Message = dict[str, Any]

_CHUNK = 1 << 16
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0

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


@dataclass(frozen=True)
class Job:
    """What one machine is to do."""

    machine: str
    request: Request
    package_port: int | None = None
    """The laptop's package cache on its loopback, lent to the machine while the run is on."""


@dataclass(frozen=True)
class Patience:
    """How long a machine may be silent before the laptop gives up on it. Seconds."""

    first: float = 30
    """Until it answers for the first time: it may be starting."""
    lost: float = 600
    """After the line dropped."""


APPLYING = Patience(first=150)
"""For `apply`: a machine behind a gateway that has just begun to lease gets its address only when it asks again, and
DHCP clients leave up to 64 s between two tries (RFC 2131, section 4.1)."""


class RefusedError(Exception):
    """The machine answered, and will not do it; says why and what to do."""


class DroppedError(Exception):
    """The machine stopped talking in the middle."""


class StoppedError(Exception):
    """The engineer pressed Ctrl-C."""


@dataclass
class _Progress:
    """What this side knows of the run so far."""

    seq: int = 0
    started: bool = False
    heard: float = field(default_factory=time.monotonic)
    """When the machine last said something."""


def ship(
    job: Job, links: Links, kits: Kits, patience: Patience | None = None, cancel: threading.Event | None = None
) -> Iterator[Update]:
    """Do one job. The last update is final, whatever happens; only StoppedError is raised, once `cancel` is set."""
    patience = patience or Patience()
    cancel = cancel or threading.Event()
    progress = _Progress()
    pause = _FIRST_PAUSE
    yield Update(job.machine, State.CONNECTING)
    while True:
        heard = progress.heard
        try:
            yield from _converse(job, links, kits, progress)
        except RefusedError as refusal:
            yield Update(job.machine, State.FAILED, message=f"{job.machine}: {refusal}")
        except LinkError as error:
            silent = time.monotonic() - progress.heard
            if error.trouble is Trouble.UNREACHABLE and silent < (
                patience.lost if progress.started else patience.first
            ):
                yield Update(job.machine, State.LOST if progress.started else State.CONNECTING, message=str(error))
                pause = _FIRST_PAUSE if progress.heard > heard else min(2 * pause, _LONGEST_PAUSE)
                if cancel.wait(random.uniform(0.5, 1.5) * pause):  # noqa: S311 (spreads reconnects, hides nothing)
                    raise StoppedError from error
                continue
            yield Update(job.machine, State.UNREACHABLE, message=_given_up(error, progress, job))
        return


def ask(links: Links, machine: str, request: Message, timeout: float = 60) -> Message:
    """One question to a machine's receiver (`status`, `stop`, `hello`). Raises LinkError or RefusedError."""
    with Conversation(links, machine) as talk, _deadline(talk, timeout):
        return talk.ask(request)


def stop(links: Links, machine: str) -> bool:
    """Stop the run that is on at a machine; whether there was one."""
    return bool(ask(links, machine, {"do": "stop"})["stopped"])


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
        code, stderr = self._connection.end()
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
            raise RefusedError(_busy(answer.get("holder") or {}))
        if "error" in answer:
            raise RefusedError(str(answer["error"]))
        return answer

    def ask(self, message: Message, body: bytes = b"") -> Message:
        """One request and its answer."""
        self.send(message, body)
        return self.receive()

    def upload(self, archive: Archive, arrived: int) -> Iterator[int]:
        """Send an archive from byte `arrived` on; yields how many bytes the machine has, up to all of them."""
        head = {"do": "upload", "name": archive.name, "sha256": archive.sha256, "total": archive.size}
        file = self._opened(archive)
        file.seek(arrived)
        self.send(head | {"offset": arrived, "size": archive.size - arrived})
        sender = threading.Thread(target=self._pour, args=(file,), name=f"upload-{self._machine}", daemon=True)
        sender.start()
        while "installed" not in (answer := self.receive()):
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


# ---------------------------------------------------------------------------------------------------- parts


def _converse(job: Job, links: Links, kits: Kits, progress: _Progress) -> Iterator[Update]:
    """Once through the conversation, as far as the line lasts."""
    with Conversation(links, job.machine, job.package_port) as talk:
        hello = talk.ask({"do": "hello"})
        progress.heard = time.monotonic()
        if not progress.started:
            yield Update(job.machine, State.SENDING)
            try:
                archives = (kits.runtime(hello["python"], hello["arch"]), kits.content())
            except KitError as error:
                raise RefusedError(str(error)) from error
            for archive in archives:
                yield from _send_archive(job, talk, hello, archive, progress)
            begin = {"do": "start", "run": job.request.run, "runtime": archives[0].name, "content": archives[1].name}
            talk.ask(begin, job.request.to_bytes())
            progress.started = True
        yield Update(job.machine, State.RUNNING)
        yield from _follow(job, talk, progress)


def _send_archive(
    job: Job, talk: Conversation, hello: Message, archive: Archive, progress: _Progress
) -> Iterator[Update]:
    if archive.name in hello["kits"]:
        return
    room = hello["free"]
    if room < 10 * archive.size:
        raise RefusedError(f"only {room >> 20} MB are free below /var there, {10 * archive.size >> 20} MB are needed")
    kept = hello["partial"].get(f"{archive.name}.{archive.sha256[:12]}.part", 0)
    shown = -1
    for arrived in talk.upload(archive, min(kept, archive.size)):
        progress.heard = time.monotonic()
        percent = 100 * arrived // archive.size
        if percent // 5 > shown:
            shown = percent // 5
            message = f"kit {archive.name.partition('-')[0]} {percent} % of {archive.size / 1e6:.1f} MB"
            yield Update(job.machine, State.SENDING, message=message)


def _follow(job: Job, talk: Conversation, progress: _Progress) -> Iterator[Update]:
    talk.send({"do": "follow", "run": job.request.run, "seq": progress.seq})
    while True:
        answer = talk.receive()
        progress.heard = time.monotonic()
        if "gone" in answer:
            raise RefusedError(_gone(answer["gone"]))
        if "event" not in answer:
            raise DroppedError
        event = parse_event(answer["event"])
        progress.seq = event.seq + 1
        if isinstance(event, RunEnded):
            yield _ended(job, event)
            return
        yield Update(job.machine, State.RUNNING, event)


def _ended(job: Job, event: RunEnded) -> Update:
    if event.status == "done":
        return Update(job.machine, State.DONE, event)
    why = event.error.message if event.error else f"{event.failed} failed"
    return Update(job.machine, State.FAILED, event, f"{job.machine}: {why}")


def _given_up(error: LinkError, progress: _Progress, job: Job) -> str:
    if not progress.started:
        return str(error)
    return (
        f"{error}. Its run {job.request.run} was on when the line dropped and may be done by now: "
        "see `lienxa status` when it can be reached again"
    )


def _gone(why: Message) -> str:
    log = why["log"].strip()
    if why["rebooted"]:
        return "it was started again (or lost power) during the run; apply again, what was done is not done twice"
    if not why["begun"]:
        return f"the runner did not start:\n{log}"
    return (
        f"the runner was killed before it ended; apply again, what was done is not done twice. Its last words:\n{log}"
    )


def _busy(holder: Message) -> str:
    who = holder.get("who") or holder.get("by") or "somebody"
    since = f" since {holder['since']}" if holder.get("since") else ""
    run = f" (run {holder['run']})" if holder.get("run") else ""
    return f"another run is on there, by {who}{since}{run}; wait for its end"


@contextlib.contextmanager
def _deadline(talk: Conversation, seconds: float) -> Iterator[None]:
    timer: threading.Timer = threading.Timer(seconds, talk.end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
