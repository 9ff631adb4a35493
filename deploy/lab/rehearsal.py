"""The site as the lab has it: the same commune, with the province's stand-in at the far end of its lines."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from deploy.inventory.role import Kind
from deploy.inventory.site import Site, SiteAuthority, SiteMachine, SiteUplink, Support, SupportPath, Upstream

TINH = "tinh"
"""The machine that stands for the province."""
LAPTOP = "laptop"
INTERNET = IPv4Address("198.51.100.1")
"""Stands for the Internet: a web server that answers with the address its client came from. `www.example.vn`."""
PORTAL = IPv4Address("198.51.100.2")
"""`portal.<province>.gov.vn`, the one-stop portal: see `portal_world`."""
TRANSFERS = 8711
"""INTERNET's TCP port where large transfers end, which fill a line on purpose."""
ROOT_SERVER = IPv4Address("198.51.100.53")
"""The signed root of the lab's name space."""
SUPPORT_PATH_PORT = 51820
"""UDP port of tinh's end of the support path."""
UPSTREAM_NAME = "www.example.vn"
BOGUS_NAME = "www.bogus.example.vn"
"""A name whose DNSSEC chain is broken: a validating resolver must not give its address."""


@dataclass(frozen=True)
class LabFacts:
    """What a lab has that no inventory knows: keys made on this laptop for this lab."""

    support_key: str = ""
    """Public key of the lab's support account, as in `authorized_keys`."""
    trust_anchors: tuple[str, ...] = ()
    """DS records of the lab's root."""
    authorities: tuple[SiteAuthority, ...] = ()
    """Of the province that tinh stands for."""
    support_path_key: str = ""
    """Public key of tinh's end of the support path."""


@dataclass(frozen=True)
class Link:
    """A machine's interface and the bridge that it is plugged into."""

    machine: str
    interface: str
    mac: str
    bridge: str


def rehearse(site: Site, facts: LabFacts = LabFacts()) -> Site:
    """The site as it is set up in the lab. Pure: the same site and facts give the same site.

    Zones of a trunk become ports of their own under the same interface names, uplinks lease from tinh, and the
    laptop's key and address, tinh's resolver, clock, trust anchors and authorities are added. Nothing else differs.
    """
    keys = (facts.support_key,) if facts.support_key else ()
    laptop = tuple(IPv4Network(laptop_address(index)) for index in range(len(site.uplinks)))
    return site.model_copy(
        update={
            "zones": tuple(zone.model_copy(update={"trunk": None}) for zone in site.zones),
            "uplinks": tuple(_leased(uplink, gateway_address(n)) for n, uplink in enumerate(site.uplinks)),
            "machines": tuple(_with_mac(site, machine) for machine in site.machines),
            "support": Support(
                user=site.support.user,
                keys=(*site.support.keys, *keys),
                prefixes=(*site.support.prefixes, *laptop),
            ),
            "upstream": Upstream(
                resolvers=(tinh_address(0),),
                time_servers=(str(tinh_address(0)),),
                trust_anchors=facts.trust_anchors,
                portals=site.upstream.portals,
                meeting=site.upstream.meeting,
                support_path=_to_tinh(site.upstream.support_path, facts),
                sip=site.upstream.sip,
            ),
            "authorities": (*site.authorities, *facts.authorities),
        }
    )


def uplink_network(index: int) -> IPv4Network:
    """The network of the commune's uplink number `index`, from the range that carriers use for such lines."""
    return IPv4Network(f"100.64.{index}.0/24")


def tinh_address(index: int) -> IPv4Address:
    """Address of tinh on that uplink: router, resolver, clock."""
    return uplink_network(index)[1]


def laptop_address(index: int) -> IPv4Address:
    """Address of the laptop's namespace on that uplink."""
    return uplink_network(index)[2]


def gateway_address(index: int) -> IPv4Address:
    """Address that tinh leases to the commune's gateway on that uplink."""
    return uplink_network(index)[10]


def links(site: Site) -> tuple[Link, ...]:
    """Every cable of the lab, tinh's and the laptop's included."""
    cables = []
    for index, uplink in enumerate(site.uplinks):
        bridge = f"up{index}"
        own = site.gateway.mac if index == 0 else None
        mac = own or stable_mac(site.commune.slug, site.gateway.name, uplink.interface)
        cables.append(Link(site.gateway.name, uplink.interface, mac, bridge))
        cables += [
            Link(name, bridge, stable_mac(site.commune.slug, f"_{name}", bridge), bridge) for name in (TINH, LAPTOP)
        ]
    for zone in site.zones:
        mac = stable_mac(site.commune.slug, site.gateway.name, zone.interface)
        cables.append(Link(site.gateway.name, zone.interface, mac, zone_bridge(zone.vlan)))
    for machine in _with_macs(site):
        if machine.kind is not Kind.GATEWAY:
            assert machine.mac is not None
            cables.append(Link(machine.name, "eth0", machine.mac, zone_bridge(site.zone(machine.zone).vlan)))
    return tuple(cables)


def zone_bridge(vlan: int) -> str:
    """Name of the bridge of the zone with that VLAN id."""
    return f"zone{vlan}"


def stable_mac(slug: str, machine: str, interface: str) -> str:
    """A locally administered address, the same each time, for an interface that the inventory gives none."""
    digest = hashlib.sha256(f"{slug}/{machine}/{interface}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


def _leased(uplink: SiteUplink, address: IPv4Address) -> SiteUplink:
    leased = {"method": "dhcp", "address": None, "gateway": None, "user": None, "public": address}
    return uplink.model_copy(update=leased)


def _to_tinh(path: SupportPath | None, facts: LabFacts) -> SupportPath | None:
    """The province's end of the support path stands on tinh."""
    if path is None:
        return None
    here = {"endpoint": f"{tinh_address(0)}:{SUPPORT_PATH_PORT}"}
    return path.model_copy(update=here | ({"public_key": facts.support_path_key} if facts.support_path_key else {}))


def _with_mac(site: Site, machine: SiteMachine) -> SiteMachine:
    interface = site.uplinks[0].interface if machine.kind is Kind.GATEWAY and site.uplinks else "eth0"
    return machine.model_copy(update={"mac": machine.mac or stable_mac(site.commune.slug, machine.name, interface)})


def _with_macs(site: Site) -> tuple[SiteMachine, ...]:
    return tuple(_with_mac(site, machine) for machine in site.machines)
