"""Edits in files that are not ours alone: a pure function from the old text to the new one."""

from __future__ import annotations

import base64
import difflib
import shlex
from collections.abc import Callable, Generator
from typing import Unpack

from deploy.runner.operations.files import PathFact
from deploy.runner.operations.script import Arguments, Reason, Script
from deploy.runner.pyinfra_api import OperationMeta, StringCommand, host, operation

_WRITE = """\
set -eu
path={path}
new=$(mktemp -- "$path.XXXXXX")
trap 'rm -f -- "$new"' EXIT
trap 'exit 1' HUP INT TERM
base64 -d >"$new"
chmod 0644 -- "$new"
if [ -e "$path" ]; then chown --reference="$path" -- "$new"; chmod --reference="$path" -- "$new"; fi
sync -- "$new"
if mountpoint -q -- "$path" 2>/dev/null; then
    cat -- "$new" >"$path"
else
    mv -T -f -- "$new" "$(readlink -f -- "$path")"
fi
"""


def edit(path: str, change: Callable[[str], str], **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make a file be what `change` makes of its text; owner and mode stay.

    `change` must be idempotent: what it gives for its own result is that result. A file that is not there is "".
    """
    arguments.setdefault("name", f"Edit {path}")
    return _edit(path=path, change=change, **arguments)


def rewritten(path: str, before: str, after: str) -> Script:
    """The command that replaces the text of a file."""
    diff = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), fromfile=path, tofile=path
    )
    return Script(
        _WRITE.format(path=shlex.quote(path)),
        summary=f"edit {path}",
        diff="".join(diff),
        explain=lambda output: Reason(f"{path} could not be written"),
        _stdin=base64.b64encode(after.encode()).decode(),
    )


@operation()
def _edit(path: str, change: Callable[[str], str]) -> Generator[StringCommand, None, None]:
    now = host.get_fact(PathFact, path=path)
    before = (now.content or b"").decode(errors="surrogateescape") if now else ""
    after = change(before)
    if after != before:
        yield rewritten(path, before, after)
