"""`tinh`, the province's stand-in: what is written on it so that it routes, leases, resolves and tells the time.

It is the province's portal and authority too: see `portal_world`. Where the commune has mail of its own it is the
outside world of mail: see `mail_world`; where the province calls rooms by SIP, who does: see `sip_world`; where it
has a support path, its end: see `support_path_world`.
"""

from __future__ import annotations

from importlib.resources import files as resources

from deploy.inventory.site import Site
from deploy.lab.boot import File
from deploy.lab.keys import root_ds, root_key
from deploy.lab.mail_world import addresses, mail_files, records
from deploy.lab.portal_world import portal_addresses, portal_files, portal_records
from deploy.lab.rehearsal import (
    BOGUS_NAME,
    INTERNET,
    ROOT_SERVER,
    UPSTREAM_NAME,
    gateway_address,
    links,
    tinh_address,
    uplink_network,
)
from deploy.lab.sip_world import sip_addresses, sip_files, sip_records
from deploy.lab.support_path_world import support_path_files

_NOBODYS_DS = f"12345 15 2 {'0' * 64}"
"""Vouches for no key: what is below it cannot be validated."""


def tinh_files(site: Site) -> tuple[File, ...]:
    """Everything that makes the image of tinh this commune's province."""
    ours = resources("deploy.lab") / "files"
    uplinks = [
        File(f"/etc/systemd/network/10-up{index}.network", _uplink(site, index)) for index in range(len(site.uplinks))
    ]
    return (
        *uplinks,
        File("/etc/systemd/network/10-lo.network", _loopback(site)),
        File("/etc/sysctl.d/10-router.conf", "net.ipv4.ip_forward = 1\n"),
        File("/etc/resolv.conf", "nameserver 127.0.0.1\n"),
        File("/etc/knot/knot.conf", _KNOT),
        File("/var/lib/lienxa-lab-zones/root.zone", _root_zone(site)),
        File("/var/lib/lienxa-lab-zones/bogus.zone", _bogus_zone()),
        File("/etc/unbound/unbound.conf.d/province.conf", _unbound(len(site.uplinks))),
        File("/etc/unbound/root.ds", f"{root_ds(site.commune.slug)}\n"),
        File("/etc/chrony/chrony.conf", _CHRONY),
        File("/var/lib/lienxa-lab/root.pem", root_key(site.commune.slug).read_text(), 0o600),
        File("/var/lib/lienxa-lab/first-boot.d/tinh", (ours / "tinh-first-boot").read_text(), 0o755),
        *portal_files(site),
        *mail_files(site),
        *sip_files(site),
        *support_path_files(site),
    )


def _uplink(site: Site, index: int) -> str:
    interface = site.uplinks[index].interface
    mac = next(link.mac for link in links(site) if link.bridge == f"up{index}" and link.interface == interface)
    text = f"""\
[Match]
Name=up{index}

[Network]
Address={tinh_address(index)}/{uplink_network(index).prefixlen}
DHCPServer=yes
LinkLocalAddressing=no

[DHCPServer]
PoolOffset=100
PoolSize=100
DNS={tinh_address(index)}
NTP={tinh_address(index)}

[DHCPServerStaticLease]
MACAddress={mac}
Address={gateway_address(index)}
"""
    # Someone outside who knows the commune's addresses can send to them: the gateway has to refuse.
    towards = f"\n[Route]\nDestination={site.prefix}\nGateway={gateway_address(0)}\n"
    return text + towards if index == 0 else text


def _loopback(site: Site) -> str:
    own = (INTERNET, ROOT_SERVER, *portal_addresses(), *addresses(site), *sip_addresses(site))
    return "[Match]\nName=lo\n\n[Network]\n" + "".join(f"Address={address}/32\n" for address in own)


def _root_zone(site: Site) -> str:
    bogus = BOGUS_NAME.split(".", 1)[1]
    published = (*portal_records(site), *records(site), *sip_records(site))
    further = "".join(f"{one.name}. IN {one.type} {one.data}\n" for one in published)
    return f"""\
$TTL 300
. IN SOA a.root-servers.lab. hostmaster.lab. 1 3600 600 86400 60
. IN NS a.root-servers.lab.
{further}a.root-servers.lab. IN A {ROOT_SERVER}
{UPSTREAM_NAME}. IN A {INTERNET}
{bogus}. IN NS a.root-servers.lab.
{bogus}. IN DS {_NOBODYS_DS}
"""


def _bogus_zone() -> str:
    bogus = BOGUS_NAME.split(".", 1)[1]
    return f"""\
$TTL 300
{bogus}. IN SOA a.root-servers.lab. hostmaster.lab. 1 3600 600 86400 60
{bogus}. IN NS a.root-servers.lab.
{BOGUS_NAME}. IN A {INTERNET}
"""


def _unbound(uplinks: int) -> str:
    own = "".join(f"    interface: {tinh_address(index)}\n" for index in range(uplinks))
    return f"""\
server:
    interface: 127.0.0.1
{own}    ip-freebind: yes
    access-control: 0.0.0.0/0 allow
    do-ip6: no
    # The lab's addresses are ones that have no names elsewhere; here they do.
    unblock-lan-zones: yes
    trust-anchor-file: /etc/unbound/root.ds
    num-threads: 1
stub-zone:
    name: "."
    stub-addr: {ROOT_SERVER}
"""


_KNOT = f"""\
server:
    listen: {ROOT_SERVER}@53
    user: knot:knot
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: /var/lib/knot
policy:
  - id: lab
    manual: on
    single-type-signing: on
    algorithm: ed25519
template:
  - id: default
    storage: /var/lib/lienxa-lab-zones
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
zone:
  - domain: .
    file: root.zone
    dnssec-signing: on
    dnssec-policy: lab
  - domain: {BOGUS_NAME.split(".", 1)[1]}
    file: bogus.zone
"""

_CHRONY = """\
driftfile /var/lib/chrony/chrony.drift
local stratum 3
allow all
cmdport 0
"""
