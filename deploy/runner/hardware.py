"""What a machine has: memory and disk, by which roles and people tell an old one; how its kernel shares a line."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

Queueing = Literal["cake", "fq_codel", "htb", "none"]
"""How a kernel can share a line out, the best way that it knows: CAKE (tc-cake(8)); HTB with fq_codel in each class;
HTB alone; or not at all."""

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
    queueing: Queueing | None = None

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


def with_queueing(hardware: Hardware) -> Hardware:
    """The same, and what this kernel can do; asked in a network namespace that nobody uses, so no line notices."""
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", _QUEUEING], capture_output=True, text=True, check=False, timeout=30
    )
    found = done.stdout.split()
    known: tuple[Queueing, ...] = ("cake", "fq_codel", "htb")
    return replace(hardware, queueing=next((kind for kind in known if kind in found), "none"))


_QUEUEING = """\
for kind in cake fq_codel htb; do
    if tc qdisc add dev lo root "$kind" 2>/dev/null; then echo "$kind"; exit; fi
done
"""
