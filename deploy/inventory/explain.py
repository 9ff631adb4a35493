"""Where a value comes from: `lienxa check xa-mau --explain machines.vp01.base.upgrade_window`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.inventory.loading import Commune, Inventory
from deploy.inventory.merge import Layer, merge, origin
from deploy.inventory.models import Province
from deploy.inventory.problems import BadInventory, Problem, allowed
from deploy.inventory.role import Kind
from deploy.inventory.yaml_source import Source, Steps


@dataclass(frozen=True)
class Origin:
    """One value, and who said so."""

    key: str
    value: object
    """As JSON has it."""
    said_by: str
    """`province`, `commune`, `machine vp01`, `default of role base`, `given before`, `address plan, …`."""
    file: str | None = None
    """None where nobody wrote it."""
    line: int | None = None

    def __str__(self) -> str:
        where = f" ({self.file}:{self.line})" if self.file else ""
        value = self.value if isinstance(self.value, str) else json.dumps(self.value, ensure_ascii=False)
        return f"{self.key} = {value}: {self.said_by}{where}"


def explain(inventory: Inventory, slug: str, key: str) -> tuple[Origin, ...]:
    """Every value at or below `key` in a commune, with its origin; BadInventory for a key that is not there.

    Keys: `<role>.<option>` (as for a machine that writes no options of its own),
    `machines.<machine>.<role>.<option>`, `machines.<machine>.address`, `zones.<zone>.network`, and any path of
    `commune.yaml` or, below `province.`, of `province.yaml`. Part of a path (`base`, `machines.vp01`) explains all
    below it.
    """
    commune = inventory.commune(slug)
    steps = tuple(int(part) if part.isdigit() else part for part in re.split(r"\.|\[|\]\.?", key) if part)
    found = tuple(_found(inventory, commune, steps))
    if not found:
        message = f"there is nothing at '{key}' to explain{allowed(str(next(iter(steps), '')), _tops(inventory))}"
        raise BadInventory([Problem(commune.source.file, 1, message)])
    return found


def _tops(inventory: Inventory) -> list[str]:
    return [*sorted(inventory.catalog.roles), "commune", "zones", "uplinks", "machines", "people", "province"]


def _found(inventory: Inventory, commune: Commune, steps: tuple[str | int, ...]) -> Iterator[Origin]:
    if not steps:
        return
    if steps[0] in inventory.catalog.roles:
        yield from _of_commune(inventory, commune, str(steps[0]), steps)
    elif steps[0] == "province":
        short = len(steps) > 1 and steps[1] in Province.model_fields
        yield from _written("province", inventory.source, steps if short else steps[1:], "" if short else "province.")
    elif steps[0] == "machines" and len(steps) > 2 and steps[2] in inventory.catalog.roles:
        yield from _of_machine(inventory, commune, str(steps[1]), str(steps[2]), steps)
    else:
        yield from _written("commune", commune.source, steps)
        yield from _planned(commune, steps)
        if steps[0] == "machines" and len(steps) == 2 and steps[1] in commune.file.machines:
            for role in commune.options[str(steps[1])]:
                yield from _of_machine(inventory, commune, str(steps[1]), role, (*steps, role))


def _of_commune(inventory: Inventory, commune: Commune, role: str, steps: Steps) -> Iterator[Origin]:
    """As it is for a machine that writes no options of its own: the machine level is left out."""
    layers = inventory.layers(commune.slug, next(iter(commune.file.machines)))[:-1]
    values: dict[str, Any] = {}
    for layer in layers:
        values = merge(values, layer.role(role))
    options = inventory.catalog.roles[role].options.model_validate(values)
    yield from _options(role, options.model_dump(mode="json"), layers, steps[1:], role)


def _of_machine(inventory: Inventory, commune: Commune, machine: str, role: str, steps: Steps) -> Iterator[Origin]:
    options = commune.options.get(machine, {}).get(role)
    if options is None:
        return
    layers = inventory.layers(commune.slug, machine)
    yield from _options(role, options.model_dump(mode="json"), layers, steps[3:], f"machines.{machine}.{role}")


def _options(role: str, values: object, layers: Sequence[Layer], steps: Steps, prefix: str) -> Iterator[Origin]:
    for path, value in _leaves(values):
        if tuple(map(str, path[: len(steps)])) != tuple(map(str, steps)):
            continue
        key = f"{prefix}.{'.'.join(map(str, path))}"
        layer = origin(layers, role, path)
        if layer is None:
            yield Origin(key, value, f"default of role {role}")
        else:
            yield Origin(key, value, layer.name, layer.source.file, layer.source.line((*layer.at, role, *path)))


def _written(said_by: str, source: Source, steps: Steps, prefix: str = "") -> Iterator[Origin]:
    here: Any = source.data
    for step in steps:
        if isinstance(here, Mapping) and str(step) in here:
            here = here[str(step)]
        elif isinstance(here, list) and isinstance(step, int) and step < len(here):
            here = here[step]
        else:
            return
    for path, value in _leaves(here):
        whole = (*(str(step) if isinstance(step, int) else step for step in steps), *path)
        line = source.line((*steps, *path))
        yield Origin(prefix + ".".join(map(str, whole)), value, said_by, source.file, line)


def _planned(commune: Commune, steps: Steps) -> Iterator[Origin]:
    """Addresses and networks that `commune.yaml` leaves open."""
    for path, value in _all_planned(commune):
        if path[: len(steps)] != tuple(steps):
            continue
        place = _place(commune, path)
        if commune.record is not None and place is not None:
            line = commune.record.line(place)
            yield Origin(".".join(path), value, "given before", commune.record.file, line)
        else:
            yield Origin(".".join(path), value, "address plan, not recorded yet")


def _place(commune: Commune, path: Sequence[str]) -> tuple[str, ...] | None:
    """Where a network or address as it is planned stands in the record; None if it does not."""
    name, planned, recorded = path[1], commune.plan.given, commune.recorded
    if path[0] == "zones":
        return ("zones", name, "network") if recorded.networks.get(name) == planned.networks[name] else None
    if recorded.addresses.get(name) != planned.addresses[name]:
        return None
    return ("zones", planned.addresses[name][0], "machines", name)


def _all_planned(commune: Commune) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, zone in commune.file.zones.items():
        if zone.network is None:
            yield ("zones", name, "network"), str(commune.plan.given.networks[name])
    for name, machine in commune.file.machines.items():
        if machine.address is None and machine.kind is not Kind.GATEWAY:
            yield ("machines", name, "address"), str(commune.plan.given.addresses[name][1])


def _leaves(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Lists replace each other whole, so a list is a leaf; a list of mappings is taken apart for its lines."""
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from _leaves(below, (*path, str(key)))
    else:
        yield path, value
