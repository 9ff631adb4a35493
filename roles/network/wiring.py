"""What the gateway's configuration is made from: pure functions from the site to plain data for the templates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from deploy.inventory.mail_dns import Record, inside_records
from deploy.inventory.role import Kind, Purpose
from deploy.inventory.site import Site, SiteMachine, SitePort, SiteUplink, SiteZone
from roles.network.options import Options

PREFIX = "10-lienxa-"
"""What the names of our files for systemd-networkd begin with."""
FIRST_TABLE = 1000
"""Where there are several lines, the routing table of the first."""
_LONGEST_INTERFACE = 15


@dataclass(frozen=True)
class Opening:
    """What may pass: from these interfaces to these ports of one machine (None: the gateway itself)."""

    interfaces: tuple[str, ...]
    protocol: str
    ports: tuple[int, ...]
    address: IPv4Address | None
    why: str


@dataclass(frozen=True)
class HandedOn:
    """A port of the gateway's uplinks behind which stands another machine."""

    protocol: str
    port: int
    address: IPv4Address
    why: str


@dataclass(frozen=True)
class NetworkFile:
    """One file for systemd-networkd: below /etc/systemd/network, from which template, with which values."""

    path: str
    template: str
    values: dict[str, object]


def device(uplink: SiteUplink) -> str:
    """The interface that carries the packets of an uplink: PPPoE has one of its own on top of the port."""
    return f"ppp-{uplink.name}"[:_LONGEST_INTERFACE] if uplink.method == "pppoe" else uplink.interface


def table_of(site: Site, uplink: SiteUplink) -> int | None:
    """The routing table in which a line has its default route; None: the machine's own, where there is one line."""
    return FIRST_TABLE + site.uplinks.index(uplink) if len(site.uplinks) > 1 else None


def openings_of_gateway(site: Site, gateway: SiteMachine) -> tuple[Opening, ...]:
    """What the zones may reach of the gateway itself."""
    return tuple(_openings(site, gateway, None, lambda zone: True))


def openings_between_zones(site: Site) -> tuple[Opening, ...]:
    """What a zone may reach in another one. Within a zone packets do not pass the gateway."""
    return tuple(
        opening
        for machine in site.machines
        if machine.kind is not Kind.GATEWAY
        for opening in _openings(site, machine, machine.address, lambda zone, own=machine.zone: zone != own)
    )


def handed_on(site: Site) -> tuple[HandedOn, ...]:
    """What everybody outside may reach of the machines behind the gateway, by the gateway's own addresses."""
    return tuple(
        HandedOn(port.protocol, port.number, machine.address, f"{machine.name} {port.role}")
        for machine in site.machines
        if machine.kind is not Kind.GATEWAY
        for port in machine.ports
        if port.from_outside
    )


def support_ports(machine: SiteMachine) -> tuple[SitePort, ...]:
    """What the province's support network may reach of the gateway from outside."""
    return tuple(port for port in machine.ports if port.from_support)


def network_files(site: Site) -> tuple[NetworkFile, ...]:
    """Every file for systemd-networkd, uplinks first."""
    return (*_uplink_files(site), *_trunk_files(site), *_zone_files(site))


def interfaces(site: Site) -> tuple[str, ...]:
    """Every interface that is ours on the gateway, without PPPoE's, which come and go with the line."""
    trunks = {zone.trunk for zone in site.zones if zone.trunk}
    return tuple(sorted({uplink.interface for uplink in site.uplinks} | trunks | {z.interface for z in site.zones}))


def ports_of_machine(site: Site) -> tuple[str, ...]:
    """Interfaces that have to be there before we begin: real ports, not the VLANs on them."""
    zones = {zone.trunk or zone.interface for zone in site.zones}
    return tuple(sorted({uplink.interface for uplink in site.uplinks} | zones))


def guests(site: Site) -> tuple[SiteZone, ...]:
    """The zones of people who are not the commune's."""
    return tuple(zone for zone in site.zones if zone.purpose is Purpose.GUEST)


def reserved(site: Site, zone: SiteZone) -> tuple[SiteMachine, ...]:
    """Machines of a zone that are given the same address each time."""
    return tuple(m for m in site.machines if m.zone == zone.name and m.mac and m.kind is not Kind.GATEWAY)


def lease_seconds(zone: SiteZone, options: Options) -> int:
    """For how long an address is leased in this zone."""
    return options.guest_lease_minutes * 60 if zone.purpose is Purpose.GUEST else options.lease_hours * 3600


def names(site: Site, options: Options) -> tuple[tuple[str, IPv4Address], ...]:
    """Every address that the gateway answers with: of machines, its own sides in the zones, services, and extras."""
    gateway = site.gateway
    machines = [(machine.fqdn, machine.address) for machine in site.machines]
    sides = [(f"{gateway.name}.{zone.name}.{site.domain}", zone.gateway) for zone in site.zones]
    services = [(one.name, IPv4Address(one.value)) for one in inside_records(site) if one.type == "A"]
    extras = [(name if "." in name else f"{name}.{site.domain}", at) for name, at in options.names.items()]
    return tuple(dict.fromkeys((*machines, *sides, *services, *extras)))


def records(site: Site) -> tuple[Record, ...]:
    """What else the gateway answers: where mail goes, who may send it, where programs find their servers."""
    return tuple(one for one in inside_records(site) if one.type != "A")


def reverse(site: Site) -> tuple[tuple[IPv4Address, str], ...]:
    """The one name of every address: a machine's own name before that of a gateway's side."""
    gateway = site.gateway
    found = {zone.gateway: f"{gateway.name}.{zone.name}.{site.domain}" for zone in site.zones}
    found |= {machine.address: machine.fqdn for machine in site.machines}
    return tuple(sorted(found.items()))


def reverse_zones(prefix: IPv4Network) -> tuple[str, ...]:
    """The zones of the reverse tree that a prefix covers, at the next byte's boundary below it."""
    length = min(24, max(8, -(-prefix.prefixlen // 8) * 8))
    if prefix.prefixlen > length:
        prefix = prefix.supernet(new_prefix=length)
    return tuple(_reverse_zone(part) for part in prefix.subnets(new_prefix=length))


def _reverse_zone(network: IPv4Network) -> str:
    labels = str(network.network_address).split(".")[: network.prefixlen // 8]
    return ".".join((*reversed(labels), "in-addr", "arpa"))


def _openings(site: Site, machine: SiteMachine, address: IPv4Address | None, wanted: object) -> Iterator[Opening]:
    grouped: dict[tuple[tuple[str, ...], str, str], list[SitePort]] = defaultdict(list)
    assert callable(wanted)
    for port in machine.ports:
        from_ = tuple(site.zone(zone).interface for zone in port.zones if wanted(zone))
        if from_:
            grouped[from_, port.protocol, port.role].append(port)
    for (from_, protocol, role), ports in grouped.items():
        numbers = tuple(sorted({port.number for port in ports}))
        yield Opening(from_, protocol, numbers, address, f"{machine.name} {role}")


def _uplink_files(site: Site) -> Iterable[NetworkFile]:
    has6 = any(zone.network6 for zone in site.zones)
    for uplink in site.uplinks:
        values = {"uplink": uplink, "ipv6": has6, "table": table_of(site, uplink)}
        yield NetworkFile(f"{PREFIX}{uplink.interface}.network", "uplink.network", values)


def _trunk_files(site: Site) -> Iterable[NetworkFile]:
    for trunk in sorted({zone.trunk for zone in site.zones if zone.trunk}):
        vlans = tuple(zone for zone in site.zones if zone.trunk == trunk)
        yield NetworkFile(f"{PREFIX}{trunk}.network", "trunk.network", {"trunk": trunk, "vlans": vlans})
        for zone in vlans:
            yield NetworkFile(f"{PREFIX}{zone.interface}.netdev", "vlan.netdev", {"zone": zone})


def _zone_files(site: Site) -> Iterable[NetworkFile]:
    for zone in site.zones:
        yield NetworkFile(f"{PREFIX}{zone.interface}.network", "zone.network", {"zone": zone})
