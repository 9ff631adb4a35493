"""What a machine remembers: which roles were applied to it, and by which run."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, ValidationError

from deploy.inventory.site import Frozen


class State(Frozen):
    """`/var/lib/lienxa/state.json`. A role is in it as soon as it is begun: a half-applied one is retired too."""

    roles: dict[str, int] = Field(default_factory=dict)
    """Version by name, in the order in which they were first applied."""
    order: str | None = None
    """Digest of the last order that was applied as a whole."""
    run: str | None = None
    """The last run that ended well; `at`, `by`, `commit`, `clean` are of that one."""
    at: str | None = None
    by: str | None = None
    commit: str | None = None
    clean: bool | None = None


class StateError(Exception):
    """The state file is there but cannot be understood."""


def read_state(path: Path) -> State:
    """The machine's state; an empty one on a new machine. Raises StateError, OSError."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return State()
    try:
        return State.model_validate_json(text)
    except ValidationError as error:
        raise StateError(f"{path} is damaged: {error.errors()[0]['msg']}") from error


def write_state(path: Path, state: State) -> None:
    """Replace the state file, and have it on the disk. Raises OSError."""
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(state.model_dump_json(indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
