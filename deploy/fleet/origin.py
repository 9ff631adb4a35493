"""Who asks, and from which state of the inventory: every request, and so every journal, carries it."""

from __future__ import annotations

import getpass
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Origin:
    """Who asks, from which commit of the inventories, and whether that commit says all."""

    by: str
    """`login@laptop`."""
    commit: str | None
    """None outside git, and before the first commit."""
    clean: bool | None
    """Whether neither the commune's files nor the province's differ from the commit; None outside git."""


def origin(inventories: Path, commune: str) -> Origin:
    """Look at the working tree that `inventories` is in."""
    status = _git(inventories, "status", "--porcelain", "--", *_paths(commune))
    commit = _git(inventories, "rev-parse", "--verify", "--quiet", "HEAD")
    return Origin(
        by=f"{getpass.getuser()}@{socket.gethostname()}",
        commit=commit.strip() if commit else None,
        clean=None if status is None else not status.strip(),
    )


def changed_since(inventories: Path, commune: str, commit: str) -> bool | None:
    """Whether the files that make the commune differ from that commit; None where git cannot tell."""
    if not all(character in "0123456789abcdef" for character in commit):
        return None
    changes = _git(inventories, "diff", "--name-only", commit, "--", *_paths(commune))
    fresh = _git(inventories, "ls-files", "--others", "--exclude-standard", "--", *_paths(commune))
    return None if changes is None or fresh is None else bool(changes.strip() or fresh.strip())


def _paths(commune: str) -> tuple[str, str]:
    return commune, "province.yaml"


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says; None where it fails or is not there."""
    command = ["git", "-c", "core.quotepath=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
