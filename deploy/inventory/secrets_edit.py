"""Secrets in an engineer's editor: a view in clear that lives in memory only, and is gone when the editor is."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from deploy.errors import UserError
from deploy.inventory.atomic import locked, write_atomically
from deploy.inventory.identity import Keys
from deploy.inventory.problems import BadInventory
from deploy.inventory.secrets import seal, unseal
from deploy.inventory.secrets_file import KEY, read_secrets, with_value, without_value
from deploy.inventory.yaml_source import parse


@dataclass(frozen=True)
class Edited:
    """Keys of what was changed, added and taken out."""

    changed: tuple[str, ...]
    removed: tuple[str, ...]


def edit(path: Path, keys: Keys | None, run_editor: Callable[[Path], None] | None = None) -> Edited:
    """Open the values in the editor; seal again what was changed, and nothing else.

    Raises UserError, and leaves the file as it was: a value that these keys cannot open, an editor that fails,
    an edited view that is no `role: {name: "value"}`.
    """
    with locked(path.parent):
        file = read_secrets(path)
        before = {key: unseal(path, key, value, keys) for key, value in file.values.items()}
        with _in_memory() as folder:
            view = folder / f"{path.parent.name}-secrets.yaml"
            view.touch(mode=0o600)
            view.write_text(_view(path, before), encoding="utf-8")
            (run_editor or _run_editor)(view)
            after = _read_view(view)
        text = file.text
        changed = tuple(key for key in after if after[key] != before.get(key))
        removed = tuple(key for key in before if key not in after)
        for key in changed:
            text = with_value(text, key, seal(after[key], file.recipients))
        for key in removed:
            text = without_value(text, key)
        if text != file.text:
            write_atomically(path, text)
    return Edited(changed, removed)


def _view(path: Path, values: Mapping[str, str]) -> str:
    lines = [f"# {path}: in clear, in memory only. What you change here is sealed again when you leave the editor."]
    for role, keys in groupby(sorted(values), lambda key: key.partition(".")[0]):
        lines.append(f"{role}:")
        lines += [f"  {key.partition('.')[2]}: {json.dumps(values[key], ensure_ascii=False)}" for key in keys]
    return "\n".join(lines) + "\n"


def _read_view(view: Path) -> dict[str, str]:
    """The edited values. Messages give line and name, never a value."""
    unchanged = "; nothing was changed"
    source, problems = parse(view.read_bytes(), "the edited text")
    if source is None or problems:
        # What YAML says of a syntax error never quotes the text itself.
        raise UserError("\n".join(map(str, BadInventory(problems).problems)) + unchanged)
    values: dict[str, str] = {}
    for role, block in source.data.items():
        for name, value in _pairs(block):
            key, line = f"{role}.{name}", source.line([role, name] if name else [role])
            if not KEY.fullmatch(key) or not isinstance(value, str) or not value:
                raise UserError(f'the edited text:{line}: allowed: "{role}:" and below it name: "value"{unchanged}')
            values[key] = value
    return values


def _pairs(block: object) -> Iterator[tuple[str, object]]:
    if isinstance(block, dict):
        yield from block.items()
    elif block is not None:
        yield "", None


def _run_editor(view: Path) -> None:
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "sensible-editor"
    try:
        ended = subprocess.run([*shlex.split(command), str(view)], check=False)
    except OSError as error:
        raise UserError(f"{command}: {error.strerror}; set EDITOR to an editor that is installed") from error
    if ended.returncode:
        raise UserError(f"{command} ended with {ended.returncode}; nothing was changed")


@contextmanager
def _in_memory() -> Iterator[Path]:
    """A private folder on a tmpfs; removed with all that the editor left in it."""
    folder = Path(tempfile.mkdtemp(prefix="lienxa-", dir=_tmpfs()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _tmpfs() -> Path:
    mounted = {line.split()[1]: line.split()[2] for line in Path("/proc/self/mounts").read_text().splitlines()}
    for name in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):  # noqa: S108 - memory, not a shared /tmp
        if name and os.access(name, os.W_OK) and _file_system(Path(name).resolve(), mounted) == "tmpfs":
            return Path(name)
    raise UserError("no tmpfs to hold values in clear: neither XDG_RUNTIME_DIR nor /dev/shm is one; mount /dev/shm")


def _file_system(path: Path, mounted: Mapping[str, str]) -> str:
    return next((mounted[str(one)] for one in (path, *path.parents) if str(one) in mounted), "")
