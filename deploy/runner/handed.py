"""The inventory's own files on the machine: they come with the kit, each under its SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "handed"
"""In the kit's content, beside `deploy`, `roles` and `templates`."""
ALSO: dict[str, Path] = {}
"""More of them, by SHA-256: where no kit is (the stock pyinfra command), the inventory's own."""


class NotHandedError(Exception):
    """The kit lacks a file of the order, or has another one in its place."""


def handed(sha256: str, file: str) -> bytes:
    """The content of the file with that SHA-256; `file` is its name, for people. Raises NotHandedError."""
    path = ALSO.get(sha256, FOLDER / sha256)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotHandedError(f"{file} did not come with the kit ({error.strerror}); apply again") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise NotHandedError(
            f"{file} is not the one of the inventory: its SHA-256 is not {sha256}; nothing is installed"
        )
    return content
