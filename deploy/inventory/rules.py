"""What is refused although every field on its own is right: things that do not exist, things that are there twice."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, IPv6Network
from typing import Any, TypeVar

from deploy.inventory.mail_rules import check_mail
from deploy.inventory.meeting_rules import check_media, check_meeting_service, check_meetings
from deploy.inventory.models import CommuneFile, MachineWritten, ProvinceFile, UplinkWritten
from deploy.inventory.people_rules import check_people
from deploy.inventory.portal_rules import check_portals
from deploy.inventory.problems import Problem, allowed
from deploy.inventory.role import Kind, Purpose
from deploy.inventory.sentences import Place
from deploy.inventory.sip_rules import MEDIA as SIP_MEDIA
from deploy.inventory.yaml_source import Source, Steps

UPLINK, TRUNK = "uplink", "trunk"
NetworkType = TypeVar("NetworkType", IPv4Network, IPv6Network)


@dataclass(frozen=True)
class Draft:
    """A commune's file as far as it could be read. Names of what is written stand in `source.data`."""

    slug: str
    """Name of its folder."""
    file: CommuneFile
    source: Source
    cut: frozenset[Place] = frozenset()
    """What of the source is not in the file, for it was wrong."""

    @property
    def has_prefix(self) -> bool:
        """Whether its prefix is the one written, not a stand-in."""
        return not self.cut & {("commune",), ("commune", "prefix")}

    def listed(self, section: str) -> list[int]:
        """Positions in the source of what is left of a list."""
        written = self.source.data.get(section)
        count = len(written) if isinstance(written, list) else 0
        return [number for number in range(count) if (section, number) not in self.cut]

    def whole(self, section: str) -> bool:
        """Whether nothing was taken out of a list."""
        return not any(place[0] == section for place in self.cut)

    def names(self, section: str) -> list[str]:
        """What is written below `zones` or `machines`, also where it is wrong otherwise."""
        written = self.source.data.get(section)
        return list(written) if isinstance(written, dict) else []

    def problem(self, path: Steps, message: str) -> Problem:
        """A problem at a place in this commune's file."""
        return self.source.problem(path, message)


def check_commune(draft: Draft) -> Iterator[Problem]:
    """All that is wrong in one commune's file, addresses and options aside."""
    for rule in RULES:
        yield from rule(draft)


def check_province(province: ProvinceFile, source: Source) -> Iterator[Problem]:
    """What is wrong in the province's file."""
    if province.commune_prefix < province.supernet.prefixlen:
        message = f"commune_prefix is {province.commune_prefix}, larger than the supernet {province.supernet}"
        yield source.problem(("commune_prefix",), message)
    for number, text in enumerate(province.support.keys):
        if len(text.split()) < 2 or not text.startswith(("ssh-", "ecdsa-", "sk-")):
            message = f"support.keys[{number}] is no SSH public key like 'ssh-ed25519 AAAA… name'"
            yield source.problem(("support", "keys", number), message)
    yield from check_portals(province.upstream.portals, source)
    yield from check_meeting_service(province.upstream.meeting, source)
    if province.upstream.sip is not None:
        yield from check_media(province.upstream.sip.media, SIP_MEDIA, source)


def check_together(reserved: Iterable[IPv4Network], drafts: Iterable[Draft]) -> Iterator[Problem]:
    """What is wrong between communes, and between them and what the province reserves."""
    everyone, reserved = list(drafts), tuple(reserved)
    drafts = [draft for draft in everyone if draft.has_prefix]
    prefixes = [(draft.file.commune.prefix, draft) for draft in drafts]
    for later, earlier in _overlapping(prefixes):
        message = f"prefix {later[0]} overlaps {earlier[0]} of {earlier[1].slug} ({_where(earlier[1])})"
        yield later[1].problem(("commune", "prefix"), message)
    for draft in drafts:
        for network in reserved:
            if draft.file.commune.prefix.overlaps(network):
                message = f"prefix {draft.file.commune.prefix} overlaps {network}, which province.yaml reserves"
                yield draft.problem(("commune", "prefix"), message)
    yield from _same_codes(everyone)
    yield from _prefixes6(everyone)


def _where(draft: Draft) -> str:
    return f"{draft.source.file}:{draft.source.line(('commune', 'prefix'))}"


Owned = tuple[NetworkType, Draft]


def _overlapping(owned: Iterable[Owned[NetworkType]]) -> Iterator[tuple[Owned[NetworkType], Owned[NetworkType]]]:
    """Pairs that overlap, by one sweep over the sorted networks; the one in the later folder comes first."""
    widest: Owned[NetworkType] | None = None
    for here in sorted(owned, key=lambda each: (int(each[0].network_address), each[0].prefixlen)):
        if widest is not None and here[0].network_address <= widest[0].broadcast_address:
            yield (here, widest) if here[1].slug >= widest[1].slug else (widest, here)
            if here[0].broadcast_address <= widest[0].broadcast_address:
                continue
        widest = here


def _same_codes(drafts: Iterable[Draft]) -> Iterator[Problem]:
    seen: dict[str, Draft] = {}
    for draft in drafts:
        if draft.cut & {("commune",), ("commune", "code")}:
            continue
        code = draft.file.commune.code
        if code in seen:
            message = f"code {code} is {seen[code].slug}'s already"
            yield draft.problem(("commune", "code"), message)
        seen.setdefault(code, draft)


def _prefixes6(drafts: Iterable[Draft]) -> Iterator[Problem]:
    owned = [
        (zone.prefix6, draft, name)
        for draft in drafts
        for name, zone in draft.file.zones.items()
        if zone.prefix6 is not None
    ]
    for index, (network, draft, name) in enumerate(owned):
        path = ("zones", name, "prefix6")
        if network.prefixlen != 64:
            yield draft.problem(path, f"zones.{name}.prefix6: {network} is a /{network.prefixlen}; allowed: a /64")
        for other, owner, zone in owned[:index]:
            if network.overlaps(other):
                where = f"{other} of zone {zone}" + (f" in {owner.slug}" if owner is not draft else "")
                yield draft.problem(path, f"zones.{name}.prefix6: {network} overlaps {where}")


def _head(draft: Draft) -> Iterator[Problem]:
    slug = draft.file.commune.slug
    if draft.cut & {("commune",), ("commune", "slug")}:
        return
    if slug != draft.slug:
        message = f"commune.slug is '{slug}', but the folder is '{draft.slug}'; they must be the same"
        yield draft.problem(("commune", "slug"), message)


def _zones(draft: Draft) -> Iterator[Problem]:
    if draft.source.data.get("zones") == {}:
        yield draft.problem(("zones",), "zones is empty; at least one zone is wanted: 'office: {vlan: 20}'")
    for name, zone in draft.file.zones.items():
        if name in {UPLINK, TRUNK}:
            yield draft.problem(("zones", name), f"a zone cannot be named '{name}': a gateway's ports use that word")
        if zone.guest and zone.purpose not in {None, Purpose.GUEST}:
            message = f"zones.{name} is for guests and for {zone.purpose} at once; take one of them out"
            yield draft.problem(("zones", name, "purpose"), message)
    vlans = ((("zones", name, "vlan"), f"VLAN id {zone.vlan}", zone.vlan) for name, zone in draft.file.zones.items())
    yield from _twice(draft, vlans, lambda path: f"zone {path[1]}")


def _gateway(draft: Draft) -> Iterator[Problem]:
    written = draft.source.data.get("machines")
    machines: Mapping[str, Any] = written if isinstance(written, dict) else {}
    gateways = [
        name for name, machine in machines.items() if isinstance(machine, dict) and machine.get("kind") == "gateway"
    ]
    if not gateways:
        message = "the commune has no gateway; one machine has to be of kind gateway"
        yield Problem(draft.source.file, draft.source.key_line(("machines",)), message)
    for name in gateways[1:]:
        message = f"{name} is a second gateway, {gateways[0]} is one already; a commune has one"
        yield draft.problem(("machines", name, "kind"), message)


def _machines(draft: Draft) -> Iterator[Problem]:
    for name, machine in draft.file.machines.items():
        yield from _zone_of(draft, name, machine)
        for field in _misplaced(machine):
            yield Problem(
                draft.source.file,
                draft.source.key_line(("machines", name, field)),
                f"machine {name}: '{field}' {MISPLACED[field]}",
            )
    macs = (
        (("machines", name, "mac"), f"MAC address {machine.mac}", machine.mac)
        for name, machine in draft.file.machines.items()
        if machine.mac is not None
    )
    yield from _twice(draft, macs, lambda path: f"machine {path[1]}")


MISPLACED = {
    "ports": "is only for a gateway",
    "what": "is only for kind unmanaged",
    "address": "is not for a gateway: it has the first address of every zone",
    "debian": "is not for kind unmanaged: lienxa does not log in to it",
    "ssh": "is not for kind unmanaged: lienxa does not log in to it",
    "sip": "is only for a room: it rings in the lobby",
}


def _misplaced(machine: MachineWritten) -> Iterator[str]:
    gateway, unmanaged = machine.kind is Kind.GATEWAY, machine.kind is Kind.UNMANAGED
    wrong = {
        "ports": bool(machine.ports) and not gateway,
        "what": machine.what is not None and not unmanaged,
        "address": machine.address is not None and gateway,
        "debian": machine.debian is not None and unmanaged,
        "ssh": machine.ssh is not None and unmanaged,
        "sip": machine.sip is not None and machine.kind is not Kind.ROOM,
    }
    return (field for field, is_wrong in wrong.items() if is_wrong)


def _zone_of(draft: Draft, name: str, machine: MachineWritten) -> Iterator[Problem]:
    if machine.zone is None and machine.kind is not Kind.GATEWAY and not _wrote(draft, name, "zone"):
        at = draft.source.key_line(("machines", name))
        yield Problem(draft.source.file, at, f"machine {name} is in no zone{allowed('', draft.names('zones'))}")


def _unknown_zones(draft: Draft) -> Iterator[Problem]:
    """As written, so that a machine with another mistake is looked at too."""
    zones = draft.names("zones")
    for name in draft.names("machines"):
        written = draft.source.data["machines"][name]
        zone = written.get("zone") if isinstance(written, dict) else None
        place = ("machines", name, "zone")
        if isinstance(zone, str) and zone not in zones and place not in draft.cut:
            yield draft.problem(place, f"machine {name}: there is no zone '{zone}'{allowed(zone, zones)}")


def _wrote(draft: Draft, machine: str, field: str) -> bool:
    """Whether the field is there but was taken out for being wrong; that has been said already."""
    written = draft.source.data["machines"][machine]
    return isinstance(written, dict) and written.get(field) is not None


def _ports(draft: Draft) -> Iterator[Problem]:
    for name, machine in draft.file.machines.items():
        if machine.kind is not Kind.GATEWAY:
            continue
        at: Place = ("machines", name, "ports")
        if not machine.ports:
            if not _wrote(draft, name, "ports"):
                line = draft.source.key_line(("machines", name))
                message = (
                    f"gateway {name} has no 'ports'; say what each is plugged into: {{wan0: uplink, lan0: trunk}}"
                )
                yield Problem(draft.source.file, line, message)
            continue
        yield from _plugs(draft, at, machine.ports)
        yield from _unserved(draft, at, machine.ports)
        yield from _uplinks_and_ports(draft, at, machine.ports)
        return  # a second gateway is refused as such


def _plugs(draft: Draft, at: Place, ports: Mapping[str, str]) -> Iterator[Problem]:
    known = [UPLINK, TRUNK, *draft.names("zones")]
    for port, plug in ports.items():
        if plug not in known:
            yield draft.problem((*at, port), f"port {port}: there is no zone '{plug}'{allowed(plug, known)}")
    plugs = (((*at, port), f"'{plug}'", plug) for port, plug in ports.items() if plug != UPLINK)
    yield from _twice(draft, plugs, lambda path: f"port {path[-1]}")


def _unserved(draft: Draft, at: Place, ports: Mapping[str, str]) -> Iterator[Problem]:
    if TRUNK in ports.values():
        return
    for zone in draft.names("zones"):
        if zone not in ports.values():
            line = draft.source.key_line(at)
            message = f"zone {zone} is on no port of the gateway; add a port for it, or a trunk"
            yield Problem(draft.source.file, line, message)


def _uplinks_and_ports(draft: Draft, at: Place, ports: Mapping[str, str]) -> Iterator[Problem]:
    outward = [port for port, plug in ports.items() if plug == UPLINK]
    used = {uplink.interface for uplink in draft.file.uplinks}
    for index, uplink in zip(draft.listed("uplinks"), draft.file.uplinks, strict=True):
        if uplink.interface not in outward:
            message = f"uplink {uplink.name}: '{uplink.interface}' is no port for an uplink of the gateway"
            yield draft.problem(("uplinks", index, "interface"), message + allowed(uplink.interface, outward))
    for port in outward:
        if port not in used and draft.whole("uplinks"):
            message = f"port {port} is for an uplink, but no uplink has 'interface: {port}'"
            yield draft.problem((*at, port), message)


def _uplinks(draft: Draft) -> Iterator[Problem]:
    uplinks = list(zip(draft.listed("uplinks"), draft.file.uplinks, strict=True))
    for index, uplink in uplinks:
        wrong = {} if not draft.has_prefix else _uplink_fields(uplink, draft.file.commune.prefix)
        for field, message in wrong.items():
            yield draft.problem(("uplinks", index, field), f"uplink {uplink.name}: {message}")
    names = ((("uplinks", i, "name"), f"the name '{uplink.name}'", uplink.name) for i, uplink in uplinks)
    yield from _twice(draft, names, lambda path: f"uplink {int(path[1]) + 1}")
    ports = (
        (("uplinks", i, "interface"), f"interface {uplink.interface}", uplink.interface) for i, uplink in uplinks
    )
    yield from _twice(draft, ports, lambda path: f"uplink {int(path[1]) + 1}")


def _uplink_fields(uplink: UplinkWritten, prefix: IPv4Network) -> dict[str, str]:
    wrong: dict[str, str] = {}
    fixed = uplink.address not in {"dhcp", "pppoe"}
    if uplink.gateway is not None and not fixed:
        wrong["gateway"] = f"'gateway' is only for a fixed address, not for {uplink.address}"
    if uplink.user is not None and uplink.address != "pppoe":
        wrong["user"] = f"'user' is only for pppoe, not for {uplink.address}"
    if uplink.address == "pppoe" and uplink.user is None:
        wrong["address"] = "pppoe wants the account's name as 'user'; its password is the secret network.pppoe_…"
    if fixed:
        wrong |= _fixed_address(uplink, prefix)
    return wrong


def _fixed_address(uplink: UplinkWritten, prefix: IPv4Network) -> dict[str, str]:
    try:
        interface = IPv4Interface(uplink.address)
    except ValueError:
        return {"address": f"'{uplink.address}' is no address with its length like 203.0.113.2/30"}
    if interface.network.overlaps(prefix):
        return {"address": f"{uplink.address} lies in the commune's own prefix {prefix}"}
    if uplink.gateway is None:
        return {"address": f"the fixed address {uplink.address} wants the next router as 'gateway'"}
    if uplink.gateway not in interface.network or uplink.gateway == interface.ip:
        return {"gateway": f"{uplink.gateway} is not a neighbour in {interface.network}"}
    return {}


def _packages(draft: Draft) -> Iterator[Problem]:
    server = draft.file.services.packages.server
    fit = [name for name, machine in draft.file.machines.items() if machine.kind in {Kind.GATEWAY, Kind.SERVER}]
    if server is None or server in fit:
        return
    at = ("services", "packages", "server")
    if server not in draft.names("machines"):
        message = f"services.packages.server: there is no machine '{server}'{allowed(server, fit)}"
        yield draft.problem(at, message)
    elif server in draft.file.machines:
        kind = draft.file.machines[server].kind
        message = f"services.packages.server: {server} is of kind {kind}, not gateway or server{allowed(server, fit)}"
        yield draft.problem(at, message)


def _logins(draft: Draft) -> Iterator[Problem]:
    people = dict(zip(draft.listed("people"), draft.file.people, strict=True))
    logins = ((("people", i, "login"), f"login '{person.login}'", person.login) for i, person in people.items())
    yield from _twice(draft, logins, lambda path: people[int(path[1])].name)


def _twice(
    draft: Draft,
    things: Iterable[tuple[Place, str, Hashable]],
    owner: Callable[[Place], str],
) -> Iterator[Problem]:
    """A problem for each thing (path, words for it, value) whose value has been there before."""
    seen: dict[Hashable, Place] = {}
    for path, words, value in things:
        if value in seen:
            before = seen[value]
            line = draft.source.line(before)
            yield draft.problem(path, f"{owner(path)}: {words} is {owner(before)}'s already (line {line})")
        seen.setdefault(value, path)


RULES: tuple[Callable[[Draft], Iterator[Problem]], ...] = (
    _head,
    _zones,
    _gateway,
    _machines,
    _unknown_zones,
    _ports,
    _uplinks,
    check_mail,
    _packages,
    _logins,
    check_people,
    check_meetings,
)
