"""What the lab asks of the laptop: programs run with or without root, files of its own, one at a time."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.errors import LabError

LABEL = "lienxa"


def cache_dir() -> Path:
    """The lab's own folder, made when missing. Images outlive every lab; `lab/<slug>` goes with its commune."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "lienxa"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def state_dir(slug: str) -> Path:
    """The folder of one commune's lab: keys (0600), known hosts. For this user only."""
    labs = cache_dir() / "lab"
    labs.mkdir(mode=0o700, exist_ok=True)
    folder = labs / slug
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def as_root(argv: Sequence[str], *, ask: bool = True) -> list[str]:
    """The same command as root: through sudo where we are not. Without `ask`, sudo never waits for a password."""
    if os.geteuid() == 0:
        return list(argv)
    return ["sudo", *([] if ask else ["-n"]), "--", *argv]


def run(
    argv: Sequence[str],
    *,
    root: bool = False,
    check: bool = True,
    stdin: bytes | None = None,
    timeout: float | None = None,
    keep: tuple[int, ...] = (),
) -> subprocess.CompletedProcess[bytes]:
    """Run a program of the laptop. Raises LabError with its words if it fails and `check` is on.

    `keep` names open files that the program is to hold open too.
    """
    command = as_root(argv) if root else list(argv)
    try:
        # No terminal to read from: what wants to ask fails instead of hanging.
        result = subprocess.run(
            command, capture_output=True, check=False, timeout=timeout, pass_fds=keep, input=stdin or b""
        )
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]} is not installed on this laptop: run `make setup`") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"`{' '.join(argv[:4])} …` took longer than {timeout:.0f} s") from error
    if check and result.returncode != 0:
        said = (result.stderr or result.stdout).decode(errors="replace").strip()
        raise LabError(f"`{' '.join(argv)}` failed: {said}")
    return result


@contextmanager
def locked(name: str) -> Iterator[int]:
    """Hold the lab's lock of that name; a second process waits. The kernel frees it when we die.

    Gives the file descriptor that holds it: a program that inherits it holds the lock too.
    """
    locks = cache_dir() / "locks"
    locks.mkdir(mode=0o700, exist_ok=True)
    with (locks / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle.fileno()


def write_private(path: Path, content: bytes | str) -> None:
    """Write a file of mode 0600, whole or not at all."""
    data = content.encode() if isinstance(content, str) else content
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(data)
    part.rename(path)
