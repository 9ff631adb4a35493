"""What the province hands to its communes for signing: authorities to believe in, and vendors' token modules.

The files stand beside `province.yaml`, each with its SHA-256 written there. What is wrong with one is said before
anything is touched: a certificate or a module that nobody compared is how strangers get believed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from deploy.inventory.models import TokenModuleWritten, UpstreamWritten
from deploy.inventory.problems import Problem
from deploy.inventory.sentences import Place
from deploy.inventory.site import SiteAuthority, SiteModule
from deploy.inventory.yaml_source import Source

WARNED = timedelta(days=90)
"""How long before its end an authority is spoken of: a new generation takes weeks to get to everybody."""
MOST_BYTES = 64 << 20
ANCHORS, MODULES = ("upstream", "trust_anchors"), ("upstream", "modules")
_ELF, _64_BIT, _LITTLE_ENDIAN, _SHARED = b"\x7fELF", 2, 1, 3
_ARCHITECTURES: Mapping[int, Literal["x86_64", "aarch64"]] = {62: "x86_64", 183: "aarch64"}
"""By the number in a file's header, as the System V ABI has it."""


@dataclass(frozen=True)
class Handed:
    """All of it, read and compared."""

    authorities: tuple[SiteAuthority, ...] = ()
    modules: tuple[SiteModule, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    """What travels in the kit, by SHA-256."""


NOTHING_HANDED = Handed()


class WrongFileError(Exception):
    """A file is not what its entry says; the text is for people."""


def read_handed(
    folder: Path, upstream: UpstreamWritten, source: Source, cut: Collection[Place] = ()
) -> tuple[Handed, tuple[Problem, ...]]:
    """Read every file that `upstream` names; what is wrong with them. `cut`: what of it was wrong already."""
    problems: list[Problem] = []
    authorities: tuple[SiteAuthority, ...] = ()
    if upstream.trust_anchors and not _touched(cut, ANCHORS):
        # Only here: to read certificates takes a library that is slow to import, and most folders have none.
        from deploy.inventory.authorities import read_authorities  # noqa: PLC0415

        authorities, wrong = read_authorities(folder, upstream.trust_anchors)
        problems += [source.problem((*ANCHORS, *place), message) for place, message in wrong]
    modules: list[SiteModule] = []
    for name, written in sorted(upstream.modules.items() if not _touched(cut, MODULES) else ()):
        try:
            modules.append(_module(folder, name, written))
        except WrongFileError as error:
            key = "sha256" if "SHA-256" in str(error) else "file"
            problems.append(source.problem((*MODULES, name, key), f"upstream.modules.{name}.{key}: {error}"))
    files = {one.sha256: folder / one.file for one in modules}
    return Handed(authorities, tuple(modules), files), tuple(problems)


def read_file(folder: Path, file: str) -> bytes:
    """Its content. Raises WrongFileError."""
    path = folder / file
    try:
        if path.stat().st_size > MOST_BYTES:
            raise WrongFileError(f"{file} has more than {MOST_BYTES >> 20} MiB; nothing of this kind has")
        return path.read_bytes()
    except FileNotFoundError:
        raise WrongFileError(f"there is no file {file} beside province.yaml") from None
    except OSError as error:
        raise WrongFileError(f"{file} cannot be read: {error.strerror}") from None


def ending(authorities: Iterable[SiteAuthority], now: datetime) -> Iterator[str]:
    """A sentence for each authority that is not in force, or not for long."""
    for one in authorities:
        until = f"{one.ends:%Y-%m-%d}"
        if now < one.begins:
            yield f"the authority {one.name} is in force from {one.begins:%Y-%m-%d} on only"
        elif now >= one.ends:
            yield f"the authority {one.name} has ended on {until}; what it signed is shown as expired"
        elif one.ends - now < WARNED:
            days = (one.ends - now).days
            yield f"the authority {one.name} ends on {until}, in {days} days; put its next generation beside it"


def _touched(cut: Collection[Place], section: Place) -> bool:
    return any(place[: len(section)] == section[: len(place)] for place in cut)


def _module(folder: Path, name: str, written: TokenModuleWritten) -> SiteModule:
    content = read_file(folder, written.file)
    found = hashlib.sha256(content).hexdigest()
    if found != written.sha256:
        raise WrongFileError(
            f"{written.file} has SHA-256 {found}; get the file and its SHA-256 from the vendor anew, each its own way"
        )
    return SiteModule(
        name=name, file=written.file, sha256=found, architecture=_architecture(written.file, content), usb=written.usb
    )


def _architecture(file: str, content: bytes) -> Literal["x86_64", "aarch64"]:
    if content[:4] != _ELF or len(content) < 64:
        raise WrongFileError(f"{file} is no shared library for Linux; ask the vendor for the PKCS#11 module (.so)")
    if content[4] != _64_BIT:
        raise WrongFileError(f"{file} is for 32-bit Linux; ask the vendor for the 64-bit module")
    kind = int.from_bytes(content[16:18], "little")
    machine = _ARCHITECTURES.get(int.from_bytes(content[18:20], "little"))
    if content[5] != _LITTLE_ENDIAN or machine is None:
        raise WrongFileError(
            f"{file} is for another kind of processor; there are {', '.join(_ARCHITECTURES.values())}"
        )
    if kind != _SHARED:
        raise WrongFileError(f"{file} is no shared library; ask the vendor for the PKCS#11 module (.so)")
    return machine
