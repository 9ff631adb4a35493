"""Host keys: looked up once, shown to a person, recorded with the commune; from then on nothing else is accepted."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.fleet.access import Access
from deploy.fleet.links import Links, runtime_folder


class TrustError(Exception):
    """Keys cannot be recorded; says why and what to do."""


@dataclass(frozen=True)
class HostKey:
    """A machine's public key, as `known_hosts` has it."""

    kind: str
    """`ssh-ed25519`, …"""
    blob: str
    """Base64."""

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it on the machine: `SHA256:…`."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.kind.removeprefix('ssh-').upper()} {self.fingerprint}"


@dataclass(frozen=True)
class Found:
    """What a machine shows, and what was on record."""

    machine: str
    recorded: tuple[HostKey, ...]
    new: HostKey | None
    """None where it could not be reached."""
    problem: str = ""

    @property
    def is_known(self) -> bool:
        """It shows a key that is on record."""
        return self.new in self.recorded

    @property
    def has_changed(self) -> bool:
        """It shows another key than the one on record."""
        return self.new is not None and bool(self.recorded) and not self.is_known


def scan(access: Access, machines: Collection[str] | None = None, replace: Collection[str] = ()) -> dict[str, Found]:
    """Ask machines (all, unless named) for their keys, the way SSH reaches them; logs in nowhere but at the gateway.

    Keys on record stay in force for the gateway as jump host, unless it is among those to `replace`.
    """
    wanted = [machine for machine in sorted(access.hosts) if machines is None or machine in machines]
    wanted.sort(key=lambda machine: machine in access.behind)
    recorded = read(access.known_hosts)
    with tempfile.TemporaryDirectory(prefix="trust-", dir=runtime_folder()) as scratch:
        jump = Path(scratch) / "known_hosts"
        _write(jump, {name: keys for name, keys in recorded.items() if name not in replace})
        with Links(dataclasses.replace(access, known_hosts=jump), Path(scratch)) as links:
            found: dict[str, Found] = {}
            for machine in wanted:
                found[machine] = _ask(links, machine, recorded.get(machine, ()), Path(scratch))
                new = found[machine].new
                if new and machine == access.gateway and (machine in replace or machine not in recorded):
                    _write(jump, read(jump) | {machine: (new,)})
    return found


def record(access: Access, found: Mapping[str, Found], replace: Collection[str] = ()) -> None:
    """Write the keys found to the commune's `known_hosts`. A changed one only for machines named in `replace`.

    Raises TrustError, before anything is written, where a machine shows another key than the one on record.
    """
    changed = [item for item in found.values() if item.has_changed and item.machine not in replace]
    if changed:
        raise TrustError("\n".join(_say_changed(item, access.commune or "COMMUNE") for item in changed))
    keys = read(access.known_hosts)
    for item in found.values():
        if item.new and not item.is_known:
            keys[item.machine] = (item.new,)
    _write(access.known_hosts, keys)


def read(known_hosts: Path) -> dict[str, tuple[HostKey, ...]]:
    """The keys on record by machine; none where the file is not there yet."""
    keys: dict[str, tuple[HostKey, ...]] = {}
    try:
        text = known_hosts.read_text(encoding="utf-8")
    except FileNotFoundError:
        return keys
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 3 and not line.startswith(("#", "@")):
            for name in words[0].split(","):
                keys[name] = (*keys.get(name, ()), HostKey(words[1], words[2]))
    return keys


def _ask(links: Links, machine: str, recorded: tuple[HostKey, ...], scratch: Path) -> Found:
    """Begin a connection that accepts whatever key comes, and end it before anything is said."""
    target = scratch / f"found-{machine}"
    options = [
        *("-o", f"UserKnownHostsFile={target}", "-o", "StrictHostKeyChecking=accept-new", "-o", "HashKnownHosts=no"),
        *("-o", "PreferredAuthentications=none", "-o", "ControlMaster=no", "-o", "ControlPath=none"),
    ]
    if recorded:  # a machine has several keys; the kind on record is the one to compare
        options += ["-o", "HostKeyAlgorithms=" + ",".join(_algorithms(recorded))]
    command = links.command(machine, "true", *options)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    keys = read(target).get(machine, ())
    if keys:
        return Found(machine, recorded, keys[0])
    return Found(machine, recorded, None, str(links.explain(machine, done.stderr)))


def _algorithms(keys: Iterable[HostKey]) -> list[str]:
    kinds = [key.kind for key in keys]
    names = [("rsa-sha2-512,rsa-sha2-256" if kind == "ssh-rsa" else kind) for kind in kinds]
    others = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"]
    return list(dict.fromkeys([*names, *others, "rsa-sha2-512", "rsa-sha2-256"]))


def _write(known_hosts: Path, keys: Mapping[str, tuple[HostKey, ...]]) -> None:
    lines = [f"{machine} {key.kind} {key.blob}\n" for machine in sorted(keys) for key in keys[machine]]
    known_hosts.parent.mkdir(parents=True, exist_ok=True)
    new = known_hosts.with_name(f".{known_hosts.name}.new")
    new.write_text("".join(lines), encoding="utf-8")
    new.replace(known_hosts)


def _say_changed(item: Found, commune: str) -> str:
    old = ", ".join(map(str, item.recorded))
    return (
        f"{item.machine} shows another host key than the one on record.\n"
        f"  on record: {old}\n  now:       {item.new}\n"
        f"If it was installed anew or replaced: `lienxa trust {commune} --replace {item.machine}`; if nobody touched "
        "it, stop: somebody may be in between"
    )
