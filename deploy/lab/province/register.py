"""The authority's register: which certificates it issued, and which of them it has taken back."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """A certificate that was issued."""

    serial: str
    """Hexadecimal, as openssl writes it: capital letters, an even number of them."""
    issuer: str
    """`ca-g1` or `ca-g2`."""
    subject: str
    """Whose it is: an official's name or a service's."""
    kind: str
    ends: str
    """ISO 8601."""
    revoked: str = ""
    """When, ISO 8601; empty while it is in force."""


@dataclass(frozen=True)
class Register:
    """A file that several processes read and write."""

    folder: Path

    def entries(self) -> dict[str, Entry]:
        """All of them, by serial number."""
        path = self.folder / "register.json"
        if not path.exists():
            return {}
        return {serial: Entry(**entry) for serial, entry in json.loads(path.read_text(encoding="utf-8")).items()}

    def find(self, serial: int) -> Entry | None:
        """The certificate with this number, if it was issued here."""
        return self.entries().get(serial_text(serial))

    def add(self, entry: Entry) -> None:
        """Write a new certificate down."""
        with self._locked():
            self._write({**self.entries(), entry.serial: entry})

    def revoke(self, serial: str) -> Entry:
        """Take a certificate back, from now on; what is revoked already stays as it is. KeyError if it is unknown."""
        with self._locked():
            entries = self.entries()
            entry = entries[serial.upper()]
            if not entry.revoked:
                entry = replace(entry, revoked=datetime.now(UTC).isoformat(timespec="seconds"))
                self._write({**entries, entry.serial: entry})
            return entry

    def revoked(self, issuer: str) -> dict[int, datetime]:
        """The numbers that this issuer has taken back, and when."""
        found = (entry for entry in self.entries().values() if entry.issuer == issuer and entry.revoked)
        return {int(entry.serial, 16): datetime.fromisoformat(entry.revoked) for entry in found}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "register.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _write(self, entries: dict[str, Entry]) -> None:
        part = self.folder / "register.json.part"
        text = json.dumps({serial: asdict(entry) for serial, entry in entries.items()}, ensure_ascii=False, indent=1)
        part.write_text(text, encoding="utf-8")
        part.replace(self.folder / "register.json")


def serial_text(serial: int) -> str:
    """The number as the register has it."""
    digits = f"{serial:X}"
    return digits if len(digits) % 2 == 0 else f"0{digits}"
