"""The kit: what a machine needs in order to run our roles, as two content-addressed archives.

The *runtime* holds the Python dependencies for that machine's Python, the *content* our own modules, roles and
templates. Both are made on the laptop, once, and kept in `~/.cache/lienxa/kit`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import lzma
import os
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import uv

ROOT = Path(__file__).resolve().parents[2]
"""Where `deploy`, `roles` and `templates` stand side by side: the repository, or site-packages."""

LOCK = ROOT / "deploy" / "kit" / "runtime.lock"

CONTENT = (
    "deploy/__init__.py",
    "deploy/errors.py",
    "deploy/inventory",
    "deploy/journal.py",
    "deploy/order.py",
    "deploy/probes.py",
    "deploy/runner",
    "deploy/site.py",
    "roles",
    "templates",
)

HANDED = "handed"
"""Folder of the content in which the inventory's files are, each under its SHA-256."""
NO_FILES: Mapping[str, Path] = MappingProxyType({})

PYTHONS = {"3.11": "Debian 12", "3.13": "Debian 13"}
PLATFORMS = {"x86_64": "x86_64-manylinux_2_28", "aarch64": "aarch64-manylinux_2_28"}

UNNEEDED = frozenset(
    (
        # pyinfra's own SSH, which never runs on the machine; deploy/runner/stubs has the few names imported of it
        *(
            "bcrypt",
            "cffi",
            "cryptography",
            "invoke",
            "paramiko",
            "pycparser",
            "pynacl",
            "types-paramiko",
            "colorama",
        ),
        # what it does for several hosts at once, and its checking of types: there are stand-ins for both
        *("gevent", "greenlet", "zope-event", "zope-interface", "typeguard"),
    )
)
"""Distributions of the lock that stay on the laptop."""

_DROPPED_SUFFIXES = (".pyi", ".pyx", ".pxd", ".c", ".h", ".pyc", ".exe", ".typed")
_DROPPED_FOLDERS = frozenset({"tests", "__pycache__", "bin", "pyinfra_cli", "pyinfra/connectors/scp"})
_KEPT_METADATA = frozenset({"METADATA", "entry_points.txt"})
_KEPT_LEXERS = frozenset({"__init__.py", "_mapping.py", "diff.py", "python.py", "special.py"})
_KEPT_SECONDS = 30 * 24 * 3600
_RECIPE = b"2"
"""Part of a runtime's name: raise it when the same lock has to give another archive."""


class KitError(Exception):
    """A kit cannot be made; says why and what to do."""


@dataclass(frozen=True)
class Archive:
    """A `.tar.xz` with a name that changes whenever its content does."""

    name: str
    path: Path
    sha256: str
    size: int
    """Bytes."""
    base: str | None = None
    """An archive that the machine has: this one holds only the files that are new or other than there."""
    gone: tuple[str, ...] = ()
    """The files of `base` that are no more."""


@dataclass
class Kits:
    """Both archives, made when first asked for. Safe to use from several threads."""

    cache: Path = field(default_factory=lambda: Path("~/.cache/lienxa/kit").expanduser())
    root: Path = ROOT
    files: Mapping[str, Path] = field(default_factory=dict)
    """The inventory's own, by SHA-256: what orders name and would be too big for."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _content: Archive | None = field(default=None, repr=False)

    def runtime(self, python: str, arch: str) -> Archive:
        """The dependencies for machines with that Python (`3.13`) and architecture (`x86_64`)."""
        with self._lock:
            return runtime(python, arch, self.cache)

    def runtime_names(self) -> dict[str, str]:
        """What `runtime` would be named, by `PYTHON ARCHITECTURE`; nothing is made."""
        requirements = _recipe()
        return {
            f"{python} {arch}": _runtime_name(requirements, python, arch) for python in PYTHONS for arch in PLATFORMS
        }

    def has_runtime(self, python: str, arch: str) -> bool:
        """Whether that runtime is made already, so that no package index is needed."""
        name = self.runtime_names().get(f"{python} {arch}")
        return name is not None and (self.cache / f"{name}.tar.xz").exists()

    def content(self) -> Archive:
        """Our own modules as they are now; the same archive as long as this object lives."""
        with self._lock:
            if self._content is None:
                self._content = content(self.root, self.cache, self.files)
            return self._content

    def content_for(self, there: Iterable[str]) -> Archive:
        """The same for a machine that has these kits: what changed since one that we still know."""
        whole = self.content()
        known = (self.cache / f"{name}.tar.xz" for name in there if name.startswith("content-"))
        with self._lock:
            return min((changes(path, whole) for path in known if path.exists()), key=lambda a: a.size, default=whole)


def runtime(python: str, arch: str, cache: Path) -> Archive:
    """Build, or take from `cache`, the runtime for a Python version and a machine's architecture."""
    if python not in PYTHONS or arch not in PLATFORMS:
        known = ", ".join(f"{version} ({debian})" for version, debian in PYTHONS.items())
        raise KitError(
            f"no kit for Python {python} on {arch}; there are kits for Python {known} on {', '.join(PLATFORMS)}: "
            "install Debian 13 on that machine"
        )
    requirements = _recipe()
    name = _runtime_name(requirements, python, arch)
    path = cache / f"{name}.tar.xz"
    if not path.exists():
        with tempfile.TemporaryDirectory(prefix="lienxa-kit-") as scratch:
            target = Path(scratch) / "runtime"
            install(requirements, python, arch, target)
            _write(
                path, _tar((file, file.relative_to(target)) for file in _files(target) if _is_needed(file, target))
            )
    return _archive(name, path)


def _recipe() -> str:
    return needed(LOCK.read_text(encoding="utf-8"))


def _runtime_name(requirements: str, python: str, arch: str) -> str:
    digest = hashlib.sha256(b"\0".join((_RECIPE, requirements.encode(), python.encode(), arch.encode()))).hexdigest()
    return f"runtime-{python}-{digest[:16]}"


def content(root: Path, cache: Path, files: Mapping[str, Path] = NO_FILES) -> Archive:
    """Our own modules, roles and templates below `root`, and the inventory's files, named by what is in them."""
    ours = {
        file.relative_to(root).as_posix(): file.read_bytes()
        for part in CONTENT
        for file in _files(root / part)
        if "__pycache__" not in file.parts
    }
    plain = _tar_of(ours | {f"{HANDED}/{sha256}": _pinned(sha256, file) for sha256, file in files.items()})
    name = f"content-{hashlib.sha256(plain).hexdigest()[:16]}"
    path = cache / f"{name}.tar.xz"
    if path.exists():
        path.touch()  # in use: not to be forgotten
    else:
        _forget_unused(cache, "content-*.tar.xz")
        _write(path, plain)
    return _archive(name, path)


def _pinned(sha256: str, file: Path) -> bytes:
    """The content of a file of the inventory, compared again: time has passed since it was checked."""
    try:
        body = file.read_bytes()
    except OSError as error:
        raise KitError(f"{file} cannot be read: {error.strerror}; run `lienxa check`") from error
    if hashlib.sha256(body).hexdigest() != sha256:
        raise KitError(f"{file} has changed since it was checked; run `lienxa check`")
    return body


def changes(base: Path, whole: Archive) -> Archive:
    """The content `whole` as what is new or other than in the archive at `base`."""
    before, after = _members(base), _members(whole.path)
    new = {path: body for path, body in after.items() if before.get(path) != body}
    name = base.name.removesuffix(".tar.xz")
    path = base.with_name(f"{whole.name}.from-{name}.tar.xz")
    if not path.exists():
        _write(path, _tar_of(new))
    made = _archive(whole.name, path)
    return replace(made, base=name, gone=tuple(sorted(before.keys() - after.keys())))


def needed(lock: str) -> str:
    """The lock without what a machine does not need: whole entries, hashes included."""
    kept: list[str] = []
    keep = True
    for line in lock.splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            keep = line.partition("==")[0] not in UNNEEDED
        if keep and not line.lstrip().startswith("#"):
            kept.append(line)
    return "\n".join(kept) + "\n"


def install(requirements: str, python: str, arch: str, target: Path) -> None:
    """Lay the packages of a lock (its text, hashes and all) into the folder `target`, for that Python and machine.

    KitError when the package index does not give them.
    """
    lock = target.parent / "requirements.txt"
    lock.write_text(requirements, encoding="utf-8")
    command = [
        *(os.fspath(uv.find_uv_bin()), "pip", "install", "--quiet", "--no-deps", "--require-hashes"),
        *("--only-binary", ":all:", "--python-version", python, "--python-platform", PLATFORMS[arch]),
        *("--target", os.fspath(target), "--link-mode", "copy", "--requirement", os.fspath(lock)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise KitError(
            f"cannot fetch the Python packages of the kit for Python {python}:\n{done.stderr.strip()}\n"
            "the laptop needs its package index once for each kit; run the command again when it is online"
        )


def _files(start: Path) -> Iterator[Path]:
    """Every regular file at or below `start`, in any order; nothing if it is not there."""
    if start.is_file():
        yield start
    for folder, _, names in os.walk(start):
        yield from (Path(folder) / name for name in names)


def _is_needed(file: Path, target: Path) -> bool:
    path = file.relative_to(target)
    folders = path.parts[:-1]
    inside = {"/".join(folders[:depth]) for depth in range(1, len(folders) + 1)} | set(folders)
    if inside & _DROPPED_FOLDERS or path.name.endswith(_DROPPED_SUFFIXES) or path.parts == (".lock",):
        return False
    if folders and folders[0].endswith(".dist-info"):
        return path.name in _KEPT_METADATA or "licenses" in folders or path.name.startswith("LICENSE")
    if folders[:2] == ("pygments", "lexers"):  # pytest colours Python and diffs, nothing else
        return path.name in _KEPT_LEXERS
    return True


def _tar(files: Iterable[tuple[Path, Path]]) -> bytes:
    return _tar_of({path.as_posix(): file.read_bytes() for file, path in files})


def _tar_of(members: Mapping[str, bytes]) -> bytes:
    """The same files give the same bytes, whoever made them and when."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, body in sorted(members.items()):
            entry = tarfile.TarInfo(path)
            entry.size = len(body)
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(body))
    return plain.getvalue()


def _members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive, mode="r:xz") as tar:
        return {entry.name: body.read() for entry in tar if (body := tar.extractfile(entry))}


def _write(path: Path, plain: bytes) -> None:
    """Compress next to the place where it belongs, then move it there in one step."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as new:
        new.write(lzma.compress(plain, preset=6))
    Path(new.name).replace(path)


def _archive(name: str, path: Path) -> Archive:
    body = path.read_bytes()
    return Archive(name=name, path=path, sha256=hashlib.sha256(body).hexdigest(), size=len(body))


def _forget_unused(cache: Path, pattern: str) -> None:
    """What nobody asked for in a month. Not by number: another lienxa may be sending one of them just now."""
    oldest = time.time() - _KEPT_SECONDS
    for path in cache.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                path.unlink()
