"""The portal's book of dossiers: what it took, under which code, and what it refused and why."""

from __future__ import annotations

import fcntl
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Dossier:
    """What somebody handed in."""

    code: str
    """`GL-261127-0001`: the province, the day, a number; empty when it was refused."""
    link: str
    """Where anybody may look its state up."""
    citizen: str
    procedure: str
    file: str
    """Name of the PDF as it came."""
    size: int
    """Bytes."""
    official: str
    """Who was logged in."""
    signer: str
    signed_at: str
    received: str
    reason: str
    """Why it was refused, a key of `signatures.REASONS`; empty when it was taken."""
    why: str
    """The same in Vietnamese."""


@dataclass(frozen=True)
class Book:
    """A folder: `book.jsonl`, and each accepted PDF under its code."""

    folder: Path

    def entries(self) -> list[Dossier]:
        """All of them, the oldest first."""
        path = self.folder / "book.jsonl"
        if not path.exists():
            return []
        return [Dossier(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]

    def find(self, code: str) -> Dossier | None:
        """The accepted dossier with that code."""
        return next((one for one in self.entries() if code and one.code == code), None)

    def enter(self, given: dict[str, str], data: bytes, *, accepted: bool, province: str, portal: str) -> Dossier:
        """Write it down; an accepted one gets the next code of the day and is kept."""
        now = datetime.now(UTC)
        with (self.folder / "book.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            day = f"{province}-{now:%y%m%d}-"
            number = sum(one.code.startswith(day) for one in self.entries()) + 1
            code = f"{day}{number:04}" if accepted else ""
            link = f"https://{portal}/ho-so/{code}" if accepted else ""
            received = now.isoformat(timespec="seconds")
            made = Dossier(code=code, link=link, size=len(data), received=received, **given)
            if accepted:
                self.pdf(code).write_bytes(data)
            with (self.folder / "book.jsonl").open("a", encoding="utf-8") as book:
                book.write(json.dumps(asdict(made), ensure_ascii=False) + "\n")
        return made

    def pdf(self, code: str) -> Path:
        """Where the file of an accepted dossier is kept."""
        return self.folder / f"{code}.pdf"
