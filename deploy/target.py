"""One commune, ready to be worked with: its site, the way to its machines, and what each is asked to do.

In the field all of it comes from the inventory; with `--lab` it is the same commune as its rehearsal has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal

from deploy.fleet.access import Access
from deploy.fleet.field import field_access
from deploy.fleet.origin import origin
from deploy.inventory.identity import configured_keys
from deploy.inventory.loading import Inventory, load
from deploy.inventory.resolve import Resolved, resolve
from deploy.inventory.secrets import SecretsFor, secrets_from, stand_in_secrets
from deploy.inventory.site import Site
from deploy.order import CallTest, Order, Request, make_orders, new_run
from deploy.probes import Outside, Probe, probes_from
from deploy.site import CATALOG

Action = Literal["apply", "plan", "verify", "doctor", "call-test"]


@dataclass(frozen=True)
class Target:
    """A commune, in the field or in the lab."""

    inventories: Path
    commune: str
    lab: bool
    inventory: Inventory
    resolved: Resolved
    site: Site
    """The rehearsed one in the lab."""
    access: Access

    @property
    def managed(self) -> tuple[str, ...]:
        """The machines that lienxa logs in to, gateway first, then as written."""
        gateway = self.site.gateway.name
        others = (machine.name for machine in self.site.machines if machine.managed and machine.name != gateway)
        return (gateway, *others)

    @property
    def roles(self) -> tuple[str, ...]:
        """Every role of some machine."""
        return tuple(dict.fromkeys(role for machine in self.site.machines for role in machine.roles))

    def orders(self) -> dict[str, Order]:
        """What every managed machine has to become. Raises UserError for a secret that is missing or not for us."""
        return make_orders(self.site, self.resolved.options, self.secrets(), CATALOG)

    def secrets(self) -> SecretsFor:
        """Opens the commune's secrets one by one; in the lab they are made up."""
        if self.lab:
            from deploy.lab.laptop import state_dir  # noqa: PLC0415 slow to import, and for --lab alone

            return stand_in_secrets(state_dir(self.commune) / "secrets.json")
        return secrets_from(self.inventories / self.commune / "secrets.yaml", configured_keys())


def open_target(inventories: Path, commune: str, *, lab: bool) -> Target:
    """Read and resolve a commune. Raises BadInventory, and UserError where there is no such commune."""
    inventory = load(inventories, CATALOG)
    resolved = resolve(inventory, commune)
    if lab:
        from deploy import lab as labs  # noqa: PLC0415 slow to import, and for --lab alone

        site = labs.rehearse(resolved.site, labs.facts(resolved.site))
        return Target(inventories, commune, lab, inventory, resolved, site, labs.access(site))
    access = field_access(resolved.site, resolved.ssh, inventories / commune / "known_hosts")
    return Target(inventories, commune, lab, inventory, resolved, resolved.site, access)


def requests(
    target: Target,
    action: Action,
    *,
    machines: Iterable[str] = (),
    roles: tuple[str, ...] = (),
    topics: tuple[str, ...] = (),
    call: CallTest | None = None,
    package_proxy: str | None = None,
    package_sources: Mapping[str, tuple[str, ...]] | None = None,
) -> dict[str, Request]:
    """A request per machine (all managed ones, or those named); for `verify` with its probes."""
    asked = origin(target.inventories, target.commune)
    orders = target.orders()
    wanted = tuple(machines)
    if action == "verify":
        orders |= {name: Order(machine=name, site=target.site, roles=()) for name in vantage_points(target)}
    return {
        name: Request(
            run=new_run(),
            action=action,
            order=order,
            by=asked.by,
            commit=asked.commit,
            clean=asked.clean,
            only_roles=roles,
            topics=topics,
            call=call,
            probes=_probes(target, name, roles) if action == "verify" else (),
            package_proxy=package_proxy,
            package_sources=dict(package_sources or {}),
            lab=target.lab,
        )
        for name, order in orders.items()
        if not wanted or name in wanted
    }


def followers(target: Target, machines: Iterable[str]) -> dict[str, Request]:
    """Requests that start nothing, for jobs that only follow what is on; no secret is asked for."""
    asked = origin(target.inventories, target.commune)
    return {
        name: Request(
            run=new_run(), action="plan", order=Order(machine=name, site=target.site, roles=()), by=asked.by
        )
        for name in machines
    }


def vantage_points(target: Target) -> dict[str, str | Outside]:
    """Machines that only send probes, and the zone they stand in, or outside. They exist in the lab alone."""
    if not target.lab:
        return {}
    from deploy.lab import TINH  # noqa: PLC0415 slow to import, and for --lab alone

    hosts, gateway = target.access.hosts, target.site.gateway.name
    points: dict[str, str | Outside] = {m.name: m.zone for m in target.site.machines if not m.managed}
    # As the uplink's side sees the gateway: where the laptop reaches it.
    points[TINH] = Outside(IPv4Address(hosts[TINH]), {gateway: hosts[gateway]})
    return points


def not_probed(target: Target, asked: Iterable[str]) -> tuple[str, ...]:
    """A sentence for every zone from which nothing is probed, because none of the asked machines stands there."""
    points = vantage_points(target)
    gateway = target.site.gateway.name
    standing = [
        points[name] if name in points else target.site.machine(name).zone for name in asked if name != gateway
    ]
    notes = [
        f"not probed from zone {zone.name}: no machine of ours stands there"
        for zone in target.site.zones
        if zone.name not in standing
    ]
    outside = any(isinstance(place, Outside) for place in standing)
    return (*notes, *(() if outside else ("not probed from outside: no machine of ours stands there",)))


def _probes(target: Target, name: str, roles: tuple[str, ...]) -> tuple[Probe, ...]:
    points = vantage_points(target)
    place = points[name] if name in points else target.site.machine(name).zone
    probes = probes_from(target.site, place, name)
    return tuple(probe for probe in probes if not roles or probe.role in roles)
