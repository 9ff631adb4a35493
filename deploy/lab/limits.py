"""The one setting of the laptop that a lab touches, given back when the last lab is down.

Every systemd holds half a dozen inotify instances, and the kernel counts those of all machines against root's 128:
with a third commune up, none boots any more.
"""

from __future__ import annotations

from pathlib import Path

from deploy.lab.laptop import cache_dir, locked, run, write_private

WANTED = 1024
_SETTING = Path("/proc/sys/fs/inotify/max_user_instances")


def make_room() -> None:
    """Allow enough inotify instances for several labs, and remember what was allowed before."""
    with locked("limits"):
        before = _allowed()
        if before < WANTED:
            write_private(_memory(), str(before))
            _allow(WANTED)


def give_back() -> None:
    """Set what was allowed before, unless a lab is still there or somebody else has changed it since."""
    with locked("limits"):
        labs = cache_dir() / "lab"
        if not _memory().exists() or (labs.exists() and any(labs.iterdir())):
            return
        if _allowed() == WANTED:
            _allow(int(_memory().read_text()))
        _memory().unlink()


def _memory() -> Path:
    return cache_dir() / "inotify-before"


def _allowed() -> int:
    return int(_SETTING.read_text())


def _allow(number: int) -> None:
    # Where it cannot be set, one lab still has room.
    run(["tee", str(_SETTING)], root=True, check=False, stdin=str(number).encode())
