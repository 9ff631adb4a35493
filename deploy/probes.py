"""Which packets must arrive and which must be refused, derived from the roles' cards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Literal

from deploy.inventory.role import Kind
from deploy.inventory.site import Frozen, Site, SiteMachine, SitePort


@dataclass(frozen=True)
class Outside:
    """A place on the uplink's side of the gateway."""

    source: IPv4Address
    """The address that stands there: only support's prefixes are let in."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """By machine name, where they differ from the site's: the gateway's on its uplink. Without one it is left out."""


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


def probes_from(site: Site, place: str | Outside, machine: str | None = None) -> tuple[Probe, ...]:
    """What a host in that place must reach and must be refused: every probed port of every managed machine.

    `place` is a zone's name, or outside. `machine` is the host itself, if it is one of the site's: it does not probe
    itself. The gateway stands in every zone, so it probes nothing but its way in to the machines behind it. Raises
    KeyError for a zone that is not there.
    """
    if machine == site.gateway.name:
        return tuple(_probe(target, port, str(target.address), True) for target, port in _ways_in(site))
    if isinstance(place, str):
        site.zone(place)
    found: list[Probe] = []
    for target, port in _ports(site):
        if target.name != machine:
            reached = _reached(site, target, port, place)
            addresses = _addresses(site, target, place, reached)
            found += [_probe(target, port, address, reached) for address in addresses]
            found += [_probe(target, port, address, True) for address in _handed_on(site, target, port, place)]
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


def _addresses(site: Site, target: SiteMachine, place: str | Outside, reached: bool) -> tuple[str, ...]:
    """The address that a host there would use; and where the gateway refuses, the one in its own zone as well.

    A gateway answers to all its addresses in every zone, so a rule that looks at the address would leave a hole.
    """
    if isinstance(place, Outside):
        known = place.addresses.get(target.name, str(target.address) if _behind(target) else "")
        return (known,) if known else ()
    if _behind(target):
        return (str(target.address),)
    near = site.zone(place).gateway
    return (str(near),) if reached or near == target.address else (str(near), str(target.address))


def _handed_on(site: Site, target: SiteMachine, port: SitePort, place: str | Outside) -> tuple[str, ...]:
    """Where a port behind the gateway is met from outside: at the gateway."""
    if isinstance(place, str) or not port.from_outside or not _behind(target):
        return ()
    known = place.addresses.get(site.gateway.name)
    return (known,) if known else ()


def _reached(site: Site, target: SiteMachine, port: SitePort, place: str | Outside) -> bool:
    if isinstance(place, str):
        return place in port.zones
    let_in = any(place.source in prefix for prefix in site.support.prefixes)
    return port.from_support and not _behind(target) and let_in


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
