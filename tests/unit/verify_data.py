"""A commune of one gateway, and requests to verify it: what the tests of checking, probing and the reports share."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from deploy.inventory.role import INSIDE, Kind, Options, Port, Purpose, Role, Unit
from deploy.inventory.site import CommuneId, Site, SiteMachine, SitePort, SiteZone
from deploy.order import Order, Request, RoleOrder
from deploy.probes import Probe


class NetworkOptions(Options):
    blocked: tuple[str, ...] = ()


NETWORK = Role(
    name="network",
    summary="The gateway.",
    options=NetworkOptions,
    packages=("unbound", "chrony"),
    units=(Unit("unbound", "resolver of the commune"), Unit("chrony.service", "time of the commune")),
    ports=(
        Port(53, "udp", INSIDE, "DNS", probe="dns", unit="unbound"),
        Port(123, "udp", INSIDE, "time", probe="ntp", unit="chrony"),
    ),
)
PORTS = (
    SitePort(
        role="network", number=53, protocol="udp", zones=("office",), purpose="DNS", probe="dns", from_support=False
    ),
    SitePort(
        role="network", number=123, protocol="udp", zones=("office",), purpose="time", probe="ntp", from_support=False
    ),
)


def site() -> Site:
    machine = SiteMachine(
        name="gw1",
        kind=Kind.GATEWAY,
        zone="office",
        address=IPv4Address("10.52.0.1"),
        mac=None,
        fqdn="gw1.xamau.gialai.gov.vn",
        roles=("network",),
        ports=PORTS,
    )
    zone = SiteZone(
        name="office",
        purpose=Purpose.INTERNAL,
        vlan=20,
        interface="lan0.20",
        trunk="lan0",
        network=IPv4Network("10.52.0.0/25"),
        gateway=IPv4Address("10.52.0.1"),
        pool=None,
    )
    commune = CommuneId(name="Xã Mẫu", slug="xa-mau", code="00000", province="Gia Lai", province_slug="gia-lai")
    return Site(
        commune=commune,
        domain="xamau.gialai.gov.vn",
        prefix=IPv4Network("10.52.0.0/22"),
        zones=(zone,),
        uplinks=(),
        machines=(machine,),
    )


def request_for(machine: str = "gw1", roles: tuple[RoleOrder, ...] = (), probes: tuple[Probe, ...] = ()) -> Request:
    order = Order(machine=machine, site=site(), roles=roles)
    return Request(run="20261124T220327417-9f3c", action="verify", order=order, by="mau@laptop", probes=probes)
