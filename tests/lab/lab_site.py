"""A small commune for tests of the lab itself: no inventory, no roles."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from deploy.inventory.role import Kind, Purpose
from deploy.inventory.site import CommuneId, Site, SiteMachine, SiteUplink, SiteZone

DOMAIN = "xa-thu.gialai.gov.vn"


def make_site(slug: str = "lx-thu", *, extra: tuple[SiteMachine, ...] = ()) -> Site:
    """A gateway with a trunk, two managed machines and two that are not ours."""
    return Site(
        commune=CommuneId(name="Xã Thử", slug=slug, code="00000", province="Gia Lai", province_slug="gia-lai"),
        domain=DOMAIN,
        prefix=IPv4Network("10.52.4.0/22"),
        zones=(
            _zone("server", Purpose.SERVER, 10, 0),
            _zone("office", Purpose.INTERNAL, 20, 1),
            _zone("wireless", Purpose.GUEST, 50, 2),
        ),
        uplinks=(SiteUplink(name="fibre", interface="wan0", method="pppoe", user="xa-thu"),),
        machines=(
            _machine("gw1", Kind.GATEWAY, "server", "10.52.4.1", None),
            _machine("srv1", Kind.SERVER, "server", "10.52.4.10", "02:00:00:00:10:01"),
            _machine("vp01", Kind.OFFICE, "office", "10.52.5.10", "02:00:00:00:20:01", debian="12"),
            _machine("in01", Kind.UNMANAGED, "office", "10.52.5.11", "02:00:00:00:20:02"),
            _machine("kh01", Kind.UNMANAGED, "wireless", "10.52.6.10", None),
            *extra,
        ),
    )


def gateway_and_desk(interface: str = "lan0.20") -> Site:
    """No more of a commune than that, in one zone: for tests of single runs."""
    domain = "xa-mau.gialai.gov.vn"
    gateway = IPv4Address("10.52.0.1")
    zone = SiteZone(
        name="office",
        purpose=Purpose.INTERNAL,
        vlan=20,
        interface=interface,
        trunk="lan0",
        network=IPv4Network("10.52.0.0/25"),
        gateway=gateway,
        pool=None,
    )
    machines = tuple(
        SiteMachine(name=name, kind=kind, zone="office", address=address, mac=None, fqdn=f"{name}.{domain}")
        for name, kind, address in (("gw1", Kind.GATEWAY, gateway), ("vp01", Kind.OFFICE, gateway + 1))
    )
    return Site(
        commune=CommuneId(name="Xã Mẫu", slug="xa-mau", code="00000", province="Gia Lai", province_slug="gia-lai"),
        domain=domain,
        prefix=IPv4Network("10.52.0.0/22"),
        zones=(zone,),
        uplinks=(SiteUplink(name="fibre", interface="wan0", method="dhcp"),),
        machines=machines,
    )


def _zone(name: str, purpose: Purpose, vlan: int, third: int) -> SiteZone:
    network = IPv4Network(f"10.52.{4 + third}.0/24")
    return SiteZone(
        name=name,
        purpose=purpose,
        vlan=vlan,
        interface=f"lan0.{vlan}",
        trunk="lan0",
        network=network,
        gateway=network[1],
        pool=(network[128], network[254]),
    )


def _machine(
    name: str, kind: Kind, zone: str, address: str, mac: str | None, debian: str | None = None
) -> SiteMachine:
    fqdn = f"{name}.{DOMAIN}"
    return SiteMachine(
        name=name, kind=kind, zone=zone, address=IPv4Address(address), mac=mac, fqdn=fqdn, debian=debian
    )
