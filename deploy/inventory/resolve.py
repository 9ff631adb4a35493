"""From what people wrote to the site: every name, address, port and role of one commune."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from deploy.inventory.addresses import first_address
from deploy.inventory.loading import Commune, Inventory
from deploy.inventory.mail import mail_of
from deploy.inventory.mail_dns import public_address
from deploy.inventory.meeting_rules import meeting_service_of, meetings_of
from deploy.inventory.models import CommuneFile, MachineWritten, ProvinceFile, UplinkWritten, UpstreamWritten
from deploy.inventory.portal_rules import portals_of
from deploy.inventory.role import Catalog, Kind, Options, Purpose
from deploy.inventory.rules import TRUNK
from deploy.inventory.sip_rules import sip_in_clear, sip_service_of
from deploy.inventory.site import (
    CommuneId,
    Site,
    SiteMachine,
    SitePerson,
    SitePort,
    SiteUplink,
    SiteZone,
    Support,
    Upstream,
)
from deploy.inventory.support_path import support_path_of
from deploy.inventory.zones import purpose_of

LEVEL_2 = {
    Purpose.SERVER: "server",
    Purpose.MANAGEMENT: "management",
    Purpose.DMZ: "dmz (services reached from outside)",
    Purpose.INTERNAL: "internal (the offices)",
}


@dataclass(frozen=True)
class SshHost:
    """Where a machine is reached by SSH from outside the commune."""

    host: str
    port: int | None = None


@dataclass(frozen=True)
class Resolved:
    """One commune, ready to make orders of."""

    site: Site
    options: Mapping[str, Mapping[str, Options]]
    """By machine and role, merged from all levels."""
    ssh: Mapping[str, SshHost]
    """Only machines whose inventory says so; the others are reached by their address."""


def resolve(inventory: Inventory, slug: str) -> Resolved:
    """Resolve one commune; BadInventory if there is none of that slug."""
    commune = inventory.commune(slug)
    written = commune.file
    zones = _zones(commune)
    province = inventory.province
    site = Site(
        commune=CommuneId(
            name=written.commune.name,
            slug=slug,
            code=written.commune.code,
            province=province.province.name,
            province_slug=province.province.slug,
        ),
        domain=f"{slug}.{province.province.domain}",
        prefix=written.commune.prefix,
        zones=zones,
        uplinks=tuple(_uplink(uplink) for uplink in written.uplinks),
        machines=_machines(
            commune, zones, f"{slug}.{province.province.domain}", province.upstream, inventory.catalog
        ),
        people=tuple(
            SitePerson(
                name=person.name,
                login=person.login,
                mailbox=person.mailbox,
                title=person.title,
                department=person.department,
                phone=person.phone,
                machines=person.machines,
            )
            for person in written.people
        ),
        meetings=meetings_of(written, province.upstream.meeting),
        mail=mail_of(written, province, f"{slug}.{province.province.domain}"),
        support=Support(user=province.support.user, keys=province.support.keys, prefixes=province.support.prefixes),
        upstream=Upstream(
            resolvers=province.upstream.resolvers,
            time_servers=province.upstream.time_servers,
            portals=portals_of(province.upstream.portals),
            meeting=meeting_service_of(province.upstream.meeting),
            support_path=support_path_of(province.upstream.support_path),
            sip=sip_service_of(province.upstream.sip),
        ),
        authorities=inventory.handed.authorities,
        modules=inventory.handed.modules,
        notes=_notes(written, province, zones),
    )
    ssh = {name: _ssh_host(machine.ssh) for name, machine in written.machines.items() if machine.ssh is not None}
    return Resolved(site, commune.options, ssh)


def _zones(commune: Commune) -> tuple[SiteZone, ...]:
    _, gateway = _gateway(commune.file)
    port_of = {plug: port for port, plug in gateway.ports.items()}
    trunk = port_of.get(TRUNK)
    return tuple(
        SiteZone(
            name=name,
            purpose=purpose_of(name, zone.purpose, guest=zone.guest),
            vlan=zone.vlan,
            interface=port_of.get(name) or f"{trunk}.{zone.vlan}",
            trunk=None if name in port_of else trunk,
            network=commune.plan.given.networks[name],
            gateway=first_address(commune.plan.given.networks[name]),
            pool=commune.plan.pools[name],
            network6=zone.prefix6,
        )
        for name, zone in commune.file.zones.items()
    )


def _gateway(written: CommuneFile) -> tuple[str, MachineWritten]:
    return next((name, machine) for name, machine in written.machines.items() if machine.kind is Kind.GATEWAY)


def _machines(
    commune: Commune, zones: tuple[SiteZone, ...], domain: str, upstream: UpstreamWritten, catalog: Catalog
) -> tuple[SiteMachine, ...]:
    roles = {
        name: catalog.names(machine.kind, commune.file.offered_by(name, upstream))
        for name, machine in commune.file.machines.items()
    }
    ports = {names: _ports(names, zones, catalog) for names in set(roles.values())}
    addresses: dict[str, IPv4Address] = {name: given[1] for name, given in commune.plan.given.addresses.items()}
    gateway, machine = _gateway(commune.file)
    home = _home(machine, zones)
    addresses[gateway] = home.gateway
    return tuple(
        SiteMachine(
            name=name,
            kind=machine.kind,
            zone=machine.zone or home.name,
            address=addresses[name],
            mac=machine.mac,
            fqdn=f"{name}.{domain}",
            what=machine.what,
            sip=machine.sip,
            debian=str(machine.debian) if machine.debian else None,
            roles=roles[name],
            ports=ports[roles[name]],
        )
        for name, machine in commune.file.machines.items()
    )


def _home(gateway: MachineWritten, zones: tuple[SiteZone, ...]) -> SiteZone:
    """The gateway's own zone: as written, else management, else server, else the first."""
    if gateway.zone is not None:
        return next(zone for zone in zones if zone.name == gateway.zone)
    for purpose in (Purpose.MANAGEMENT, Purpose.SERVER):
        for zone in zones:
            if zone.purpose is purpose:
                return zone
    return zones[0]


def _ports(roles: tuple[str, ...], zones: tuple[SiteZone, ...], catalog: Catalog) -> tuple[SitePort, ...]:
    return tuple(
        SitePort(
            role=role.name,
            number=port.number,
            protocol=port.protocol,
            zones=tuple(sorted(zone.name for zone in zones if zone.purpose in port.zones)),
            purpose=port.purpose,
            probe=port.probe,
            from_support=port.from_support,
            from_outside=port.from_outside,
        )
        for role in (catalog.roles[name] for name in roles)
        for port in role.ports
    )


def _uplink(written: UplinkWritten) -> SiteUplink:
    fixed = written.address not in {"dhcp", "pppoe"}
    return SiteUplink(
        name=written.name,
        interface=written.interface,
        method="static" if fixed else "pppoe" if written.address == "pppoe" else "dhcp",
        address=written.address if fixed else None,
        gateway=written.gateway,
        user=written.user,
        public=written.public,
        down=written.down,
        up=written.up,
    )


def _ssh_host(written: str) -> SshHost:
    host, _, port = written.partition(":")
    return SshHost(host, int(port) if port else None)


def _notes(written: CommuneFile, province: ProvinceFile, zones: tuple[SiteZone, ...]) -> tuple[str, ...]:
    notes = [*_missing_zones(zones)]
    if not written.uplinks:
        notes.append("no uplink: the commune has no line out")
    if not province.support.keys:
        notes.append("no engineers' keys in province.yaml (support.keys): nobody can log in after `adopt`")
    mail = written.services.mail
    if mail is not None and mail.mode == "local" and not any(public_address(_uplink(one)) for one in written.uplinks):
        notes.append("no uplink says by which address the world reaches it (public): no mail comes from outside")
    if mail is not None and mail.mode == "province" and province.upstream.mail is None:
        notes.append("services.mail is the province's, but province.yaml does not say where (upstream.mail)")
    if province.upstream.sip and (said := sip_in_clear(province.upstream.sip)):
        notes.append(said)
    if written.meetings and province.upstream.meeting is None:
        notes.append("meetings stand here, but province.yaml names no service for them (upstream.meeting)")
    unknown = [name for name, machine in written.machines.items() if machine.mac is None and _wants_mac(machine)]
    if unknown:
        notes.append(f"no MAC address yet, so no fixed lease: {', '.join(unknown)}")
    return tuple(notes)


def _wants_mac(machine: MachineWritten) -> bool:
    return machine.kind is not Kind.GATEWAY


def _missing_zones(zones: tuple[SiteZone, ...]) -> list[str]:
    there = {zone.purpose for zone in zones}
    missing = [words for purpose, words in LEVEL_2.items() if purpose not in there]
    if not there & {Purpose.WIRELESS, Purpose.GUEST}:
        missing.append("wireless")
    return [f"security level 2 asks for a zone that is not here: {words}" for words in missing]
