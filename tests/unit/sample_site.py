"""A small commune and roles of its own for tests of orders, probes and secrets."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from pydantic import Field

from deploy.inventory.role import EVERY_ZONE, MANAGEMENT_ONLY, Catalog, Kind, Options, Port, Purpose, Role, Secret
from deploy.inventory.site import CommuneId, Site, SiteMachine, SitePort, SiteUplink, SiteZone, Support


class BaseOptions(Options):
    """Inputs of `base`, with what JSON has no word for."""

    locales: frozenset[str] = frozenset({"vi_VN.UTF-8", "en_US.UTF-8", "C.UTF-8", "km_KH.UTF-8", "lo_LA.UTF-8"})
    allow: tuple[IPv4Network, ...] = (IPv4Network("10.0.0.0/8"),)
    window: dict[str, str] = Field({"to": "05:00", "from": "02:00"})


class NetworkOptions(Options):
    """Inputs of `network`."""

    block: tuple[str, ...] = ("quangcao.example",)


def base_secrets(options: BaseOptions, site: Site) -> tuple[Secret, ...]:
    return (Secret("console_password", "password at the keyboard"),)


def network_secrets(options: NetworkOptions, site: Site) -> tuple[Secret, ...]:
    return tuple(
        Secret(f"pppoe_{uplink.name}", f"password of the line {uplink.name}", generated=False)
        for uplink in site.uplinks
        if uplink.method == "pppoe"
    )


BASE = Role(
    "base",
    "What every machine has.",
    BaseOptions,
    ports=(Port(22, "tcp", MANAGEMENT_ONLY, "SSH for support", from_support=True),),
    secrets=base_secrets,
)
NETWORK = Role(
    "network",
    "The gateway.",
    NetworkOptions,
    ports=(
        Port(53, "udp", EVERY_ZONE, "DNS", probe="dns"),
        Port(67, "udp", EVERY_ZONE, "DHCP", probe="none"),
        Port(9100, "tcp", MANAGEMENT_ONLY, "measurements"),
    ),
    secrets=network_secrets,
)
PAGE = Role(
    "page", "The information page.", Options, ports=(Port(443, "tcp", frozenset({Purpose.INTERNAL}), "the page"),)
)
CATALOG = Catalog(
    {role.name: role for role in (BASE, NETWORK, PAGE)},
    {
        Kind.GATEWAY: ("base", "network"),
        Kind.SERVER: ("base", "page"),
        Kind.OFFICE: ("base",),
        Kind.UNMANAGED: (),
    },
)
ZONES = {
    "server": Purpose.SERVER,
    "office": Purpose.INTERNAL,
    "wireless": Purpose.GUEST,
    "management": Purpose.MANAGEMENT,
}


def sample_site() -> Site:
    """Gateway, server and two office machines of which one is not managed."""
    return Site(
        commune=CommuneId(name="Xã Mẫu", slug="xa-mau", code="00000", province="Gia Lai", province_slug="gia-lai"),
        domain="xa-mau.gialai.gov.vn",
        prefix=IPv4Network("10.52.0.0/22"),
        zones=tuple(_zone(name, number) for number, name in enumerate(ZONES)),
        uplinks=(SiteUplink(name="fibre", interface="wan0", method="pppoe", user="xamau"),),
        machines=(
            _machine("gw1", Kind.GATEWAY, "management", "10.52.0.193"),
            _machine("srv1", Kind.SERVER, "server", "10.52.0.10"),
            _machine("vp01", Kind.OFFICE, "office", "10.52.0.74"),
            _machine("in01", Kind.UNMANAGED, "office", "10.52.0.75"),
        ),
        support=Support(prefixes=(IPv4Network("192.0.2.0/24"),)),
    )


def sample_options() -> dict[str, dict[str, Options]]:
    """Every role's defaults, by machine and role."""
    return {one.name: {role: CATALOG.roles[role].options() for role in one.roles} for one in sample_site().machines}


def _zone(name: str, number: int) -> SiteZone:
    network = IPv4Network(("10.52.0.0", 24)).subnets(new_prefix=26)
    own = list(network)[number]
    return SiteZone(
        name=name, purpose=ZONES[name], vlan=10 + number, interface=f"lan0.{10 + number}", trunk="lan0",
        network=own, gateway=own[1], pool=None,
    )  # fmt: skip


def _machine(name: str, kind: Kind, zone: str, address: str) -> SiteMachine:
    roles = CATALOG.kinds[kind]
    return SiteMachine(
        name=name, kind=kind, zone=zone, address=IPv4Address(address), mac=None, fqdn=f"{name}.xa-mau.gialai.gov.vn",
        roles=roles, ports=tuple(_port(role, port) for role in roles for port in CATALOG.roles[role].ports),
    )  # fmt: skip


def _port(role: str, port: Port) -> SitePort:
    zones = tuple(sorted(name for name, purpose in ZONES.items() if purpose in port.zones))
    return SitePort(
        role=role, number=port.number, protocol=port.protocol, zones=zones, purpose=port.purpose, probe=port.probe,
        from_support=port.from_support,
    )  # fmt: skip
