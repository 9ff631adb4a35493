"""How much of a machine there is: memory and disk, by which roles and people tell an old one."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

LEAST_MEMORY = 1_800_000_000
"""Bytes that a machine sold with 2 GB tells of at least: firmware and graphics keep some for themselves."""
LEAST_DISK = 14_000_000_000
"""Bytes that the root file system of a 16 GB disk has at least, beside swap and what the firmware boots from."""


@dataclass(frozen=True)
class Hardware:
    """Sizes in bytes; None where nobody has looked."""

    memory: int | None = None
    disk: int | None = None
    """Of the root file system."""

    @property
    def shortcomings(self) -> tuple[str, ...]:
        """What there is too little of, in words for people."""
        found = []
        if self.memory is not None and self.memory < LEAST_MEMORY:
            found.append(f"{self.memory / 10**9:.1f} GB of memory, less than 2 GB")
        if self.disk is not None and self.disk < LEAST_DISK:
            found.append(f"{self.disk / 10**9:.1f} GB of disk, less than 16 GB")
        return tuple(found)

    @property
    def is_old(self) -> bool:
        """Whether it has less than 2 GB of memory or 16 GB of disk."""
        return bool(self.shortcomings)


def this_machine(meminfo: Path = Path("/proc/meminfo"), root: Path = Path("/")) -> Hardware:
    """What the machine that this runs on has."""
    lines = meminfo.read_text(encoding="ascii").splitlines() if meminfo.exists() else []
    kibibytes = next((int(line.split()[1]) for line in lines if line.startswith("MemTotal:")), None)
    return Hardware(memory=kibibytes * 1024 if kibibytes else None, disk=shutil.disk_usage(root).total)
