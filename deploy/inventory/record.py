"""`addresses.yaml`: the record of what was given out, beside each commune's file and in git with it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.inventory.addresses import Given
from deploy.inventory.loading import ADDRESSES_FILE, Commune, Inventory

HEADING = """\
# yaml-language-server: $schema=../schema/addresses.json
# What was given out in this commune; written by lienxa, to be committed. What stands here never moves.
"""


@dataclass(frozen=True)
class Change:
    """An address or network that the record does not have as the plan has it."""

    slug: str
    what: str
    """`zone office` or `machine vp01`."""
    before: str | None
    """None: newly given."""
    after: str | None
    """None: given back."""

    def __str__(self) -> str:
        if self.after is None:
            return f"{self.slug}: {self.what} gives {self.before} back"
        return f"{self.slug}: {self.what} gets {self.after}" + (f" instead of {self.before}" if self.before else "")


def plan_addresses(inventory: Inventory) -> tuple[Change, ...]:
    """What `write_plan` would write: addresses that are planned but not recorded yet, or recorded but not wanted."""
    return tuple(change for commune in inventory.communes.values() for change in _changes(commune))


def write_plan(inventory: Inventory, slugs: tuple[str, ...] | None = None) -> tuple[Path, ...]:
    """Write the record of these communes (None: all) where it is stale; the files written."""
    written = []
    for slug, commune in inventory.communes.items():
        if (slugs is None or slug in slugs) and any(_changes(commune)):
            path = inventory.folder / slug / ADDRESSES_FILE
            _replace(path, addresses_text(commune.plan.given))
            written.append(path)
    return tuple(written)


def addresses_text(given: Given) -> str:
    """The file: zones in the order of the commune's file, machines by address."""
    lines = [HEADING + "zones:"]
    for zone, network in given.networks.items():
        lines += [f"  {zone}:", f"    network: {network}"]
        machines = sorted((address, name) for name, (place, address) in given.addresses.items() if place == zone)
        if machines:
            lines += ["    machines:", *(f"      {name}: {address}" for address, name in machines)]
    return "\n".join(lines) + "\n"


def _changes(commune: Commune) -> Iterator[Change]:
    recorded, planned = commune.recorded, commune.plan.given
    if recorded == planned:
        return
    before = {f"zone {name}": str(network) for name, network in recorded.networks.items()}
    before |= {f"machine {name}": f"{address} ({zone})" for name, (zone, address) in recorded.addresses.items()}
    after = {f"zone {name}": str(network) for name, network in planned.networks.items()}
    after |= {f"machine {name}": f"{address} ({zone})" for name, (zone, address) in planned.addresses.items()}
    for what in (*after, *(what for what in before if what not in after)):
        if before.get(what) != after.get(what):
            yield Change(commune.slug, what, before.get(what), after.get(what))


def _replace(path: Path, text: str) -> None:
    """Whole or not at all: a cut must not leave half a record."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
