"""Runs one tool once and measures it: time, bytes on the line, memory of all its processes."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.bench.line import Proxy

_MARK = "LIENXA_BENCH_RUN"
_LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class Measured:
    """What a run cost."""

    seconds: float
    up: int
    """Bytes from the laptop."""
    down: int
    memory: int
    """Bytes: the most that the tool's processes on the laptop had together (proportional set size)."""


@dataclass(frozen=True)
class Marks:
    """What a run's processes are known by, wherever they have forked themselves to."""

    run: str
    """In the environment. OpenSSH's shared connections write their title over it."""
    own: str | None

    def are_on(self, process: Path) -> bool:
        """Whether a process, by its folder in /proc, belongs to the run. Raises OSError where it is gone."""
        if f"{_MARK}={self.run}".encode() in (process / "environ").read_bytes():
            return True
        return bool(self.own) and str(self.own).encode() in (process / "cmdline").read_bytes()


class ToolError(RuntimeError):
    """A tool did not do its work; has what it printed."""


def measure(
    proxy: Proxy, command: Sequence[str], folder: Path, environment: Mapping[str, str] = {}, own: Path | None = None
) -> Measured:
    """Run a command from cold: nothing of an earlier run is left, no shared connection either. Raises ToolError.

    `own`: a folder of the tool's own; whoever has it in its command line belongs to the run.
    """
    marks = Marks(secrets.token_hex(8), os.fspath(own) if own else None)
    before = proxy.count()
    with tempfile.TemporaryFile() as printed:
        begun = time.monotonic()
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment, _MARK: marks.run}, stdin=subprocess.DEVNULL,
            stdout=printed, stderr=subprocess.STDOUT,
        )  # fmt: skip
        watch = _Watch(marks)
        code = process.wait()
        seconds = time.monotonic() - begun
        memory = watch.end()
        for pid in _processes(marks):  # connections that the tool keeps for its next run
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        printed.seek(0)
        if code:
            raise ToolError(f"{' '.join(command)}: exit code {code}\n{printed.read().decode()[-4000:]}")
    after = proxy.count()
    return Measured(seconds, after[0] - before[0], after[1] - before[1], memory)


class _Watch:
    """Looks at the memory of all processes of a run, wherever they have forked themselves to."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> int:
        """Stop; the most that was seen, in bytes."""
        self._ended.set()
        self._thread.join()
        return self._most

    def _look(self) -> None:
        while True:
            self._most = max(self._most, sum(_memory(pid) for pid in _processes(self._marks)))
            if self._ended.wait(_LOOK_SECONDS):
                return


def _processes(marks: Marks) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if marks.are_on(folder):
                found.append(int(folder.name))
    return found


def _memory(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        return 1024 * int(text.split("\nPss:", 1)[1].split()[0])
    return 0
