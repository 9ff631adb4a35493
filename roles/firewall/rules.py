"""What a machine's own firewall opens: pure functions from the site to plain data for the template."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from deploy.inventory.site import Site, SiteMachine, SitePort


@dataclass(frozen=True)
class HostOpening:
    """What may come in: from these networks to these ports."""

    family: Literal["ip", "ip6"]
    sources: tuple[str, ...]
    protocol: str
    ports: tuple[int, ...]
    role: str


def openings(site: Site, machine: SiteMachine) -> tuple[HostOpening, ...]:
    """One for every role and set of zones on this machine, and one more where a zone has IPv6."""
    grouped: dict[tuple[Literal["ip", "ip6"], tuple[str, ...], str, str], set[int]] = defaultdict(set)
    for port in machine.ports:
        grouped["ip", _sources4(site, machine, port), port.protocol, port.role].add(port.number)
        grouped["ip6", _sources6(site, port), port.protocol, port.role].add(port.number)
    return tuple(
        HostOpening(family, sources, protocol, tuple(sorted(ports)), role)
        for (family, sources, protocol, role), ports in grouped.items()
        if sources
    )


def open_to_all(machine: SiteMachine) -> tuple[SitePort, ...]:
    """What the gateway hands on to this machine from outside: the sender's address is whatever it is out there."""
    return tuple(port for port in machine.ports if port.from_outside)


def _sources4(site: Site, machine: SiteMachine, port: SitePort) -> tuple[str, ...]:
    networks = [str(site.zone(zone).network) for zone in port.zones]
    if port.from_support and machine.zone not in port.zones:
        # Support comes through the gateway, which jumps from its side in the machine's zone.
        networks.append(str(site.zone(machine.zone).gateway))
    return tuple(networks)


def _sources6(site: Site, port: SitePort) -> tuple[str, ...]:
    networks = (site.zone(zone).network6 for zone in port.zones)
    return tuple(str(network) for network in networks if network)
