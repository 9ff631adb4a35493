"""Which packets must arrive and which must be refused, derived from the roles' cards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Literal

from deploy.inventory.role import Kind
from deploy.inventory.site import Frozen, Site, SiteMachine, SitePort

OUTSIDE: Mapping[str, str] = MappingProxyType({})
"""No address of the gateway on the uplink is known."""


class Probe(Frozen):
    """A packet to be sent from one machine to another, and what has to come of it."""

    target: str
    """Name of the machine that is probed."""
    address: str
    port: int
    protocol: Literal["tcp", "udp"]
    how: Literal["connect", "dns", "ntp"]
    expect: Literal["reached", "refused"]
    purpose: str
    role: str


def probes_from(
    site: Site, zone: str | None, machine: str | None = None, outside: Mapping[str, str] = OUTSIDE
) -> tuple[Probe, ...]:
    """What a host in that zone must reach and must be refused: every probed port of every managed machine.

    `zone` None stands for the uplink's side; there `outside` gives addresses by machine name that differ from the
    site's (the gateway's on its uplink; without one the gateway is left out). `machine` is the host itself, if it is
    one of the site's: it does not probe itself. The gateway stands in every zone, so it probes nothing but its way in
    to the machines behind it. Raises KeyError for a zone that is not there.
    """
    if machine == site.gateway.name:
        return tuple(_probe(target, port, str(target.address), True) for target, port in _ways_in(site))
    if zone is not None:
        site.zone(zone)
    found: list[Probe] = []
    for target, port in _ports(site):
        if target.name != machine:
            reached = _reached(site, target, port, zone)
            addresses = _addresses(site, target, zone, outside, reached)
            found += [_probe(target, port, address, reached) for address in addresses]
    return tuple(found)


def _ports(site: Site) -> Iterator[tuple[SiteMachine, SitePort]]:
    """Every port that can be probed."""
    for machine in site.machines:
        if machine.managed:
            yield from ((machine, port) for port in machine.ports if port.probe != "none")


def _ways_in(site: Site) -> Iterator[tuple[SiteMachine, SitePort]]:
    """What the gateway, as jump host, has to reach on the machines behind it."""
    return ((machine, port) for machine, port in _ports(site) if _behind(machine) and port.from_support)


def _behind(machine: SiteMachine) -> bool:
    return machine.kind is not Kind.GATEWAY


def _addresses(
    site: Site, target: SiteMachine, zone: str | None, outside: Mapping[str, str], reached: bool
) -> tuple[str, ...]:
    """The address that a host in the zone would use; and where the gateway refuses, the one in its own zone as well.

    A gateway answers to all its addresses in every zone, so a rule that looks at the address would leave a hole.
    """
    if _behind(target):
        return (outside.get(target.name, str(target.address)) if zone is None else str(target.address),)
    if zone is None:
        return (outside[target.name],) if target.name in outside else ()
    near = site.zone(zone).gateway
    return (str(near),) if reached or near == target.address else (str(near), str(target.address))


def _reached(site: Site, target: SiteMachine, port: SitePort, zone: str | None) -> bool:
    if zone is None:
        return port.from_support and not _behind(target) and bool(site.support.prefixes)
    return zone in port.zones


def _probe(target: SiteMachine, port: SitePort, address: str, reached: bool) -> Probe:
    assert port.probe != "none"
    return Probe(
        target=target.name,
        address=address,
        port=port.number,
        protocol=port.protocol,
        how=port.probe,
        expect="reached" if reached else "refused",
        purpose=port.purpose,
        role=port.role,
    )
