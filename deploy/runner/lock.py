"""One run at a time on a machine; whoever comes second is told who holds it, and since when."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Holder:
    """Who holds the lock."""

    who: str
    since: str
    """UTC, RFC 3339."""
    run: str


class HeldError(Exception):
    """Another run is on. `holder` is None if it did not say whose it is."""

    def __init__(self, holder: Holder | None) -> None:
        self.holder = holder
        who = f"{holder.who} since {holder.since} (run {holder.run})" if holder else "someone else"
        super().__init__(f"another run is on, held by {who}")


@contextmanager
def lock(path: Path, holder: Holder) -> Iterator[None]:
    """Hold the lock. The kernel lets go of it when the process ends, however it ends. Raises HeldError, OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _taken(descriptor):
            raise HeldError(read_holder(path))
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(asdict(holder)).encode())
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    # Whoever only looks who holds it (the receiver) does so with a shared lock of a moment: that is no other run.
    for pause in (0.05, 0.1, 0.2, None):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if pause is not None:
                time.sleep(pause)
        else:
            return True
    return False


def read_holder(path: Path) -> Holder | None:
    """What the lock file says; only true while the lock is held."""
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
