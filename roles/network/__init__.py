"""The gateway: uplinks, zones, firewall, addresses, names, time.

Zones are VLANs on a trunk or ports of their own (systemd-networkd). Between zones and from outside everything is
refused but what the roles' cards open (nftables); guests reach the Internet only. Every machine of the inventory gets
its reserved address (Kea) and its name (Unbound), and the time (chrony), also while the line is down.
"""

from __future__ import annotations

from deploy.inventory.role import EVERY_ZONE, MANAGEMENT_ONLY, Port, Role, Secret, Unit
from deploy.inventory.site import Site
from roles.network.options import Options
from roles.network.shaping import warnings


def secrets(options: Options, site: Site) -> tuple[Secret, ...]:
    """The passwords of lines that ask for one."""
    return tuple(
        Secret(f"pppoe_{uplink.name}", f"Password of the line {uplink.name}, from its provider", generated=False)
        for uplink in site.uplinks
        if uplink.method == "pppoe"
    )


ROLE = Role(
    name="network",
    summary="The gateway: uplinks, zones, firewall, addresses, names, time.",
    options=Options,
    packages=(
        "dns-root-data",
        "kea-dhcp4-server",
        "nftables",
        "ppp",
        "prometheus-node-exporter",
        "unbound",
    ),
    units=(
        Unit("systemd-networkd", "uplinks and zones"),
        Unit("nftables", "loads the firewall at boot"),
        Unit("kea-dhcp4-server", "addresses"),
        Unit("unbound", "names"),
        Unit("prometheus-node-exporter", "measurements"),
    ),
    ports=(
        Port(53, "udp", EVERY_ZONE, "DNS", probe="dns", unit="unbound"),
        Port(53, "tcp", EVERY_ZONE, "DNS over TCP", unit="unbound"),
        Port(67, "udp", EVERY_ZONE, "DHCP", probe="none", unit="kea-dhcp4-server"),
        Port(123, "udp", EVERY_ZONE, "NTP", probe="ntp", unit="chrony"),
        Port(9100, "tcp", MANAGEMENT_ONLY, "measurements for Prometheus", unit="prometheus-node-exporter"),
    ),
    needs=("base",),
    secrets=secrets,
    warnings=warnings,
)
