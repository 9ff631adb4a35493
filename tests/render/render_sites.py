"""Communes of every shape that a template has to cope with: trunk or ports, each kind of uplink, IPv6, guests."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network

from deploy.inventory.role import Kind, Purpose
from deploy.inventory.site import (
    CommuneId,
    Site,
    SiteMachine,
    SitePort,
    SiteUplink,
    SiteZone,
    Support,
    Upstream,
)
from deploy.site import CATALOG, ROLES

ZONES = {
    "server": (10, Purpose.SERVER),
    "office": (20, Purpose.INTERNAL),
    "counter": (30, Purpose.INTERNAL),
    "wireless": (50, Purpose.GUEST),
    "management": (99, Purpose.MANAGEMENT),
}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB2wLyxJC1R3Z2cWTyxhU4S6Pu4k3w8nKY3Nn2tHnq8m support@example"
ROOT_DS = ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"


def site(
    *, trunk: bool = True, ipv6: bool = False, uplinks: tuple[SiteUplink, ...] | None = None, bare: bool = False
) -> Site:
    """The commune. `bare`: without support, province's servers and machines besides the gateway."""
    zones = tuple(_zone(number, name, trunk, ipv6) for number, name in enumerate(ZONES))
    kinds = {"gw1": (Kind.GATEWAY, "management")}
    if not bare:
        kinds |= {
            "srv1": (Kind.SERVER, "server"),
            "vp01": (Kind.OFFICE, "office"),
            "mc01": (Kind.COUNTER, "counter"),
            "in01": (Kind.UNMANAGED, "office"),
            "qt01": (Kind.OFFICE, "management"),
        }
    return Site(
        commune=CommuneId(name="Xã Mẫu", slug="xa-mau", code="00000", province="Gia Lai", province_slug="gia-lai"),
        domain="xa-mau.gialai.gov.vn",
        prefix=IPv4Network("10.52.0.0/22"),
        zones=zones,
        uplinks=uplinks or (SiteUplink(name="fibre", interface="wan0", method="dhcp"),),
        machines=tuple(
            _machine(zones, number, name, kind, zone) for number, (name, (kind, zone)) in enumerate(kinds.items())
        ),
        support=Support() if bare else Support(keys=(KEY,), prefixes=(IPv4Network("192.0.2.0/24"),)),
        upstream=Upstream()
        if bare
        else Upstream(
            resolvers=(IPv4Address("192.0.2.53"),), time_servers=("192.0.2.123",), trust_anchors=(ROOT_DS,)
        ),
    )


STATIC = SiteUplink(
    name="leased", interface="wan1", method="static", address="203.0.113.2/30", gateway=IPv4Address("203.0.113.1")
)
PPPOE = SiteUplink(name="vnpt", interface="wan2", method="pppoe", user="xamau")


def _zone(number: int, name: str, trunk: bool, ipv6: bool) -> SiteZone:
    network = list(IPv4Network("10.52.0.0/22").subnets(new_prefix=25))[number]
    vlan, purpose = ZONES[name]
    return SiteZone(
        name=name,
        purpose=purpose,
        vlan=vlan,
        interface=f"lan0.{vlan}" if trunk else f"lan{number}",
        trunk="lan0" if trunk else None,
        network=network,
        gateway=network[1],
        pool=(network[64], network[120]) if purpose is Purpose.GUEST else None,
        network6=IPv6Network(f"2001:db8:52:{vlan}::/64") if ipv6 else None,
    )


def _roles(kind: Kind) -> tuple[str, ...]:
    return CATALOG.names(kind, {"packages"} if kind is Kind.GATEWAY else ())


def _machine(zones: tuple[SiteZone, ...], number: int, name: str, kind: Kind, zone: str) -> SiteMachine:
    network = next(one.network for one in zones if one.name == zone)
    return SiteMachine(
        name=name,
        kind=kind,
        zone=zone,
        address=network[1] if kind is Kind.GATEWAY else network[10 + number],
        mac=None if kind is Kind.GATEWAY else f"02:00:00:00:00:{number:02x}",
        fqdn=f"{name}.xa-mau.gialai.gov.vn",
        roles=_roles(kind),
        ports=tuple(
            SitePort(
                role=role,
                number=port.number,
                protocol=port.protocol,
                zones=tuple(sorted(one.name for one in zones if one.purpose in port.zones)),
                purpose=port.purpose,
                probe=port.probe,
                from_support=port.from_support,
            )
            for role in _roles(kind)
            for port in ROLES[role].ports
        ),
    )


SITES = {
    "trunk": site(),
    "ports": site(trunk=False),
    "ipv6": site(ipv6=True),
    "static": site(uplinks=(STATIC,)),
    "pppoe": site(uplinks=(PPPOE,), ipv6=True),
    "two lines": site(uplinks=(STATIC, PPPOE)),
    "bare": site(bare=True),
}
