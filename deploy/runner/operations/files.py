"""Files and directories: written as a whole or not at all, and only after the daemon that reads them agreed."""

from __future__ import annotations

import base64
import difflib
import grp
import pwd
import shlex
import stat
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Unpack

from deploy.runner.context import Context
from deploy.runner.operations.script import Arguments, Reason, Script
from deploy.runner.pyinfra_api import FactBase, OperationMeta, StringCommand, host, operation
from deploy.runner.question import Question
from deploy.runner.render import render

REFUSED = "lienxa: the file's own checker refused it"
_LONGEST_DIFF = 100_000


def place(
    ctx: Context,
    path: str,
    *,
    template: str | None = None,
    content: str | bytes | None = None,
    mode: str | None = None,
    owner: str = "root",
    group: str = "root",
    validate: str | None = None,
    secret: bool = False,
    values: Mapping[str, object] | None = None,
    **arguments: Unpack[Arguments],
) -> OperationMeta:
    """Make a file have this content, owner and mode. Whoever reads it sees the old one or the new one, whole.

    The content is `content`, or a template below `templates/` (`<role><path>.j2` unless named) with the variables
    site, machine, options, secrets, role, lab and `values`. `mode` is 0644, or 0600 where `secret`; a secret file has
    no diff in the journal. `validate` is a shell command with `{}` for the new file (which already has its final
    name, in a directory beside it); where it fails, the old file stays and the command's output is the error.
    Missing directories are made, 0755 and root's. Further `arguments` are pyinfra's (`name`, `_if`).
    """
    if content is None:
        content = render(ctx, template or f"{ctx.role.name}{path}.j2", values)
    arguments.setdefault("name", f"Place {path}")
    return _place(
        path=path,
        content=content.encode() if isinstance(content, str) else content,
        mode=mode or ("0600" if secret else "0644"),
        owner=owner,
        group=group,
        validate=validate,
        secret=secret,
        **arguments,
    )


def absent(path: str, *, tree: bool = False, **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make a path be gone: a file, a link, an empty directory, or with `tree` a directory and all in it."""
    arguments.setdefault("name", f"Remove {path}")
    return _absent(path=path, tree=tree, **arguments)


def directory(
    path: str, *, mode: str = "0755", owner: str = "root", group: str = "root", **arguments: Unpack[Arguments]
) -> OperationMeta:
    """Make a directory be there with this owner and mode; what is in it is left alone."""
    arguments.setdefault("name", f"Directory {path}")
    return _directory(path=path, mode=mode, owner=owner, group=group, **arguments)


def no_others(
    folder: str, pattern: str, keep: Iterable[str], *, mark: str = "", **arguments: Unpack[Arguments]
) -> OperationMeta:
    """Make a folder have no other files of this pattern (`lienxa-*.conf`) than these, named by their whole paths.

    With `mark`, only files in which that stands are ours to remove.
    """
    arguments.setdefault("name", f"No other {folder}/{pattern}")
    return _no_others(folder=folder, pattern=pattern, keep=tuple(sorted(keep)), mark=mark, **arguments)


@dataclass(frozen=True)
class PathState:
    """What is at a path."""

    what: str
    """As stat says it: `regular file`, `directory`, `symbolic link`, …"""
    mode: str
    """Octal without leading zeros."""
    owner: str
    group: str
    content: bytes | None
    """Of a file, or of the file that a link leads to."""


class PathFact(FactBase[PathState | None]):
    """What is at a path, with the content of a file; None where there is nothing."""

    def command(self, path: str) -> Question:
        """One shell command, so that it costs one round trip elsewhere; here no process at all."""
        quoted = shlex.quote(path)
        return Question(
            f"if [ -e {quoted} ] || [ -L {quoted} ]; then stat -c '%a %U %G %F' -- {quoted}; "
            f"if [ -f {quoted} ]; then base64 -w0 -- {quoted}; echo; fi; fi",
            here=partial(_at_path, path),
        )

    def process(self, output: list[str]) -> PathState | None:
        """Parse it."""
        if not output:
            return None
        mode, owner, group, what = output[0].split(" ", 3)
        content = base64.b64decode(output[1]) if len(output) > 1 else None
        return PathState(what=what, mode=mode, owner=owner, group=group, content=content)


class DirectoryFact(FactBase[PathState | None]):
    """Like PathFact, for what is no file of ours: content is never read."""

    def command(self, path: str) -> Question:
        """As PathFact's."""
        quoted = shlex.quote(path)
        return Question(
            f"if [ -e {quoted} ] || [ -L {quoted} ]; then stat -c '%a %U %G %F' -- {quoted}; fi",
            here=partial(_at_path, path, read=False),
        )

    def process(self, output: list[str]) -> PathState | None:
        """Parse it."""
        return PathFact().process(output[:1])


_KINDS = {
    stat.S_IFREG: "regular file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block special file",
    stat.S_IFCHR: "character special file",
}


def _at_path(path: str, *, read: bool = True) -> str:
    """What PathFact's command prints. Raises OSError where the path cannot be looked at."""
    try:
        found = Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    mode, kind = stat.S_IMODE(found.st_mode), stat.S_IFMT(found.st_mode)
    what = "regular empty file" if kind == stat.S_IFREG and not found.st_size else _KINDS[kind]
    line = f"{mode:o} {_owner(found.st_uid)} {_group(found.st_gid)} {what}\n"
    if read and Path(path).is_file():
        return f"{line}{base64.b64encode(Path(path).read_bytes()).decode()}\n"
    return line


def _owner(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return "UNKNOWN"


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return "UNKNOWN"


class FilesFact(FactBase[tuple[str, ...]]):
    """Files and links right in a folder whose names fit a pattern of the shell and that have `mark` in them."""

    def command(self, folder: str, pattern: str, mark: str = "") -> str:
        """One shell command."""
        marked = f"-exec grep -qF -- {shlex.quote(mark)} {{}} ';' -print " if mark else ""
        return (
            f"find {shlex.quote(folder)} -mindepth 1 -maxdepth 1 ! -type d -name {shlex.quote(pattern)} {marked}"
            "2>/dev/null; true"
        )

    @staticmethod
    def default() -> tuple[str, ...]:
        """No such folder."""
        return ()

    def process(self, output: list[str]) -> tuple[str, ...]:
        """Parse it."""
        return tuple(sorted(output))


_WRITE = """\
set -eu
path={path} folder={folder}
if [ -d "$path" ] && [ ! -L "$path" ]; then echo "lienxa: $path is a directory" >&2; exit 1; fi
(umask 022; mkdir -p -- "$folder")
umask 077
hidden=$(mktemp -d -- "$folder/.lienxa.XXXXXX")
trap 'rm -rf -- "$hidden"' EXIT
trap 'exit 1' HUP INT TERM
new=$hidden/{name}
base64 -d >"$new"
chown {owner}:{group} -- "$new"
chmod {mode} -- "$new"
{validate}sync -- "$new"
if mountpoint -q -- "$path" 2>/dev/null; then
    # A container's /etc/hosts and its like are mounts: they can be written to, not replaced.
    cat -- "$new" >"$path"
else
    mv -T -f -- "$new" "$path"
fi
sync -- "$folder"
"""
_VALIDATE = """\
if ! ( {command} ) </dev/null; then echo "{refused}" >&2; exit 1; fi
"""


@operation()
def _place(
    path: str, content: bytes, mode: str, owner: str, group: str, validate: str | None, secret: bool
) -> Generator[StringCommand, None, None]:
    now = host.get_fact(PathFact, path=path)
    attributes = (mode.lstrip("0") or "0", owner, group)
    is_file = now is not None and now.what.startswith("regular")
    if now is not None and is_file and now.content == content:
        if (now.mode, now.owner, now.group) != attributes:
            yield _set_attributes(path, mode, owner, group)
        return
    folder, name = _split(path)
    yield Script(
        _WRITE.format(
            path=shlex.quote(path),
            folder=shlex.quote(folder),
            name=shlex.quote(name),
            owner=shlex.quote(owner),
            group=shlex.quote(group),
            mode=shlex.quote(mode),
            validate=_validation(validate),
        ),
        summary=f"write {path} ({mode} {owner}:{group}, {len(content)} bytes)",
        diff="" if secret else _diff(path, now.content if now else None, content),
        explain=lambda output: _why_not_placed(path, validate, output),
        # Base64, because pyinfra's own connectors add a newline to the last line and know no bytes.
        _stdin=base64.b64encode(content).decode(),
    )


@operation()
def _absent(path: str, tree: bool) -> Generator[StringCommand, None, None]:
    now = host.get_fact(DirectoryFact, path=path)
    if now is None:
        return
    quoted = shlex.quote(path)
    if now.what != "directory":
        yield StringCommand(f"rm -f -- {quoted}")
    elif tree:
        yield StringCommand(f"rm -r --one-file-system -- {quoted}")
    else:
        yield StringCommand(f"rmdir -- {quoted}")


@operation()
def _no_others(folder: str, pattern: str, keep: tuple[str, ...], mark: str) -> Generator[StringCommand, None, None]:
    for path in host.get_fact(FilesFact, folder=folder, pattern=pattern, mark=mark):
        if path not in keep:
            yield StringCommand(f"rm -f -- {shlex.quote(path)}")


@operation()
def _directory(path: str, mode: str, owner: str, group: str) -> Generator[StringCommand, None, None]:
    now = host.get_fact(DirectoryFact, path=path)
    if now is None:
        quoted = shlex.quote(path)
        yield StringCommand(f"(umask 022; mkdir -p -- {quoted})")
    if now is None or (now.mode, now.owner, now.group) != (mode.lstrip("0") or "0", owner, group):
        yield _set_attributes(path, mode, owner, group)


def _set_attributes(path: str, mode: str, owner: str, group: str) -> StringCommand:
    quoted = shlex.quote(path)
    return StringCommand(
        f"chown {shlex.quote(owner)}:{shlex.quote(group)} -- {quoted} && chmod {shlex.quote(mode)} -- {quoted}"
    )


def _split(path: str) -> tuple[str, str]:
    pure = PurePosixPath(path)
    if not pure.is_absolute() or ".." in pure.parts:
        raise ValueError(f"a path on the machine is absolute and without '..': {path}")
    return str(pure.parent), pure.name


def _validation(command: str | None) -> str:
    if command is None:
        return ""
    return _VALIDATE.format(command=command.replace("{}", '"$new"'), refused=REFUSED)


def _why_not_placed(path: str, validate: str | None, output: str) -> Reason | None:
    if REFUSED in output:
        return Reason(
            f"the new {path} was refused by its own checker (`{validate}`); the old file is still in place",
            "Read the checker's words below; correct the option or the template that they are about.",
        )
    if "Read-only file system" in output:
        return Reason(f"{path} is on a read-only file system", "Look at `dmesg` for disk errors, and at the mount.")
    if "No space left on device" in output:
        return Reason(
            f"no room on the disk for {path}", "Free some space (`df -h`, `journalctl --vacuum-size=100M`)."
        )
    return Reason(f"{path} could not be written")


def _diff(path: str, before: bytes | None, after: bytes) -> str:
    try:
        old, new = (before or b"").decode(), after.decode()
    except UnicodeDecodeError:
        return f"{path}: binary, {len(before or b'')} bytes before, {len(after)} bytes after\n"
    lines = difflib.unified_diff(
        old.splitlines(keepends=True),
        new.splitlines(keepends=True),
        fromfile=path if before is not None else "/dev/null",
        tofile=path,
    )
    text = "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return text if len(text) <= _LONGEST_DIFF else f"{text[:_LONGEST_DIFF]}\n… cut, {len(text)} characters in all\n"
