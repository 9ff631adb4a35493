"""Files that are either the old or the new one, never half of it, and one writer at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy.errors import UserError


def write_atomically(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Put a file in place by rename, text in UTF-8. Raises OSError; the old file then stays as it was."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def create_folder(folder: Path, files: Mapping[str, str]) -> None:
    """A new folder with these files, by name, whole or not at all. Raises OSError, also if it is there already."""
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for name, text in files.items():
            (temporary / name).write_text(text, encoding="utf-8")
        temporary.chmod(0o755)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary)
        raise


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One writer at a time; the lock is the folder's own, so that no lock file is left in git. Raises UserError."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # gevent, in the stock pyinfra command, closes late
        os.close(descriptor)
