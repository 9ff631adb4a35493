"""Applies the role `network`."""

from __future__ import annotations

from deploy.inventory.site import SUPPORT_INTERFACE
from deploy.runner.context import Context
from deploy.runner.operations import absent, directory, no_others, packages, place, retire_units, unit
from deploy.runner.operations.checkers import CHECK_JSON, CHECK_PYTHON, CHECK_SHELL
from deploy.runner.operations.netfilter import ruleset
from deploy.runner.operations.networking import ifupdown_lets_go, interfaces, kernel_settings
from deploy.runner.operations.system import masked
from deploy.runner.operations.systemd import retired
from roles.network import failover, shaping, wiring
from roles.network.options import Options

NETWORKD = "/etc/systemd/network"
RULES = "/etc/nftables.conf"
FURTHER_RULES = "/etc/nftables.d"
TABLE = "inet lienxa"
KERNEL = "/etc/sysctl.d/60-lienxa-network.conf"
KEA = "/etc/kea/kea-dhcp4.conf"
UNBOUND = "/etc/unbound/unbound.conf.d/lienxa.conf"
BLOCKED = "/etc/unbound/lienxa-blocked.zone"
ROOT_ANCHOR = "/etc/unbound/unbound.conf.d/root-auto-trust-anchor-file.conf"
TIME = "/etc/chrony/conf.d/lienxa-network.conf"
RESOLV = "/etc/resolv.conf"
UNBOUND_HELPER = "unbound-resolvconf.service"
PPPOE_UNIT = "/etc/systemd/system/lienxa-pppoe@.service"
SHAPE = "/usr/local/lib/lienxa/shape"
SHAPING = "lienxa-shaping"
SHAPING_UNIT = f"/etc/systemd/system/{SHAPING}.service"
SHAPE_DIALLED = "/etc/ppp/ip-up.d/lienxa-shaping"
LINES = "/usr/local/lib/lienxa/lines"
LINES_SETTINGS = "/etc/lienxa/lines.json"
LINES_WATCHED = "lienxa-lines"
LINES_UNIT = f"/etc/systemd/system/{LINES_WATCHED}.service"
LINES_NETWORKD = "/etc/systemd/networkd.conf.d/lienxa.conf"

CANARY = "use-application-dns.net"
"""Blocked everywhere. A browser that cannot resolve it asks the commune's resolver rather than one of its own choice;
and it is what checks ask for."""

CHECK_RULES = "nft -c -f {}"
CHECK_KEA = "kea-dhcp4 -t {}"
CHECK_BLOCKED = (
    r"""printf 'server:\n module-config: "respip iterator"\nrpz:\n name: blocked.lienxa.\n zonefile: "%s"\n' """
    "{} >{}.conf && unbound-checkconf {}.conf"
)
CHECK_UNBOUND = "unbound-checkconf {}"
CHECK_TIME = "chronyd -p -f {} >/dev/null"


def install(ctx: Context[Options]) -> None:
    """Packages."""
    several = failover.ways(ctx.site)
    packages(ctx, *(["conntrack"] if several else []))


def configure(ctx: Context[Options]) -> None:
    """Interfaces first, and at once: Kea's own checker asks for them. Then everything that stands on them."""
    if failover.ways(ctx.site):
        _several_lines(ctx)
    _interfaces(ctx)
    place(ctx, KERNEL, values={"ipv6": has_ipv6(ctx)})
    directory(FURTHER_RULES)
    place(ctx, RULES, mode="0755", values=_helpers(ctx), validate=CHECK_RULES)
    place(ctx, KEA, mode="0640", group="_kea", values=_helpers(ctx), validate=CHECK_KEA)
    _names(ctx)
    place(ctx, TIME, validate=CHECK_TIME)
    if shaping.lines(ctx.site):
        _shaping(ctx)


def activate(ctx: Context[Options]) -> None:
    """The firewall before forwarding. nftables is never restarted: that would open everything."""
    ruleset(RULES, TABLE)
    unit("nftables")
    if shaping.lines(ctx.site):
        unit(SHAPING, files=[SHAPE, SHAPING_UNIT])
    else:
        _without_shaping()
    if not failover.ways(ctx.site):
        _one_line()
    kernel_settings(KERNEL)
    unit("kea-dhcp4-server", files=[KEA])
    unit("unbound", files=[UNBOUND, BLOCKED])
    place(ctx, RESOLV)
    unit("chrony", files=[TIME])
    unit("prometheus-node-exporter")


def retire(ctx: Context[Options]) -> None:
    """Addresses, names and rules are given up; interfaces and leases stay as they are."""
    retire_units(ctx)
    unit("systemd-networkd")
    absent(f"/etc/systemd/system/{UNBOUND_HELPER}")
    _without_shaping()
    _one_line()
    for path in (RULES, KERNEL, TIME, UNBOUND, BLOCKED):
        absent(path)


def has_ipv6(ctx: Context[Options]) -> bool:
    """Whether any zone has an IPv6 prefix."""
    return any(zone.network6 for zone in ctx.site.zones)


def _interfaces(ctx: Context[Options]) -> None:
    interfaces(wiring.ports_of_machine(ctx.site), seconds=1, name="The gateway's ports are there")
    files = wiring.network_files(ctx.site)
    placed = [
        place(ctx, f"{NETWORKD}/{file.path}", template=f"network{NETWORKD}/{file.template}.j2", values=file.values)
        for file in files
    ]
    if failover.ways(ctx.site):
        placed.append(place(ctx, LINES_NETWORKD))
    left = no_others(NETWORKD, f"{wiring.PREFIX}*", [f"{NETWORKD}/{file.path}" for file in files])
    ifupdown_lets_go(wiring.interfaces(ctx.site))
    unit("systemd-networkd", files=[f"{NETWORKD}/{file.path}" for file in files], changed=[*placed, left])
    interfaces(wiring.interfaces(ctx.site))
    _pppoe(ctx)


def _pppoe(ctx: Context[Options]) -> None:
    lines = [uplink for uplink in ctx.site.uplinks if uplink.method == "pppoe"]
    if lines:
        place(ctx, PPPOE_UNIT)
    for uplink in lines:
        peer = f"/etc/ppp/peers/lienxa-{uplink.name}"
        values = {
            "uplink": uplink,
            "device": wiring.device(uplink),
            "ipv6": has_ipv6(ctx),
            "table": wiring.table_of(ctx.site, uplink),
            "password": ctx.secrets[f"pppoe_{uplink.name}"],
        }
        place(ctx, peer, template="network/etc/ppp/peers/uplink.j2", values=values, secret=True)
        unit(f"lienxa-pppoe@{uplink.name}", files=[PPPOE_UNIT, peer])


def _shaping(ctx: Context[Options]) -> None:
    values = {
        "lines": shaping.lines(ctx.site),
        "masks": shaping.masks(ctx.site.upstream.media),
        "call_bytes": shaping.CALL_BYTES,
        "ipv6": has_ipv6(ctx),
    }
    place(ctx, SHAPE, mode="0755", values=values, validate=CHECK_SHELL)
    place(ctx, SHAPING_UNIT, values={"script": SHAPE})
    if any(uplink.method == "pppoe" for uplink in ctx.site.uplinks):
        place(ctx, SHAPE_DIALLED, mode="0755", values={"script": SHAPE})
    else:
        absent(SHAPE_DIALLED)


def _several_lines(ctx: Context[Options]) -> None:
    """Before the lines' routes move into their tables there is who looks them up there."""
    place(ctx, LINES_SETTINGS, values={"settings": failover.settings(ctx.site, ctx.options)}, validate=CHECK_JSON)
    place(ctx, LINES, mode="0755", validate=CHECK_PYTHON)
    place(ctx, LINES_UNIT, values={"program": LINES})
    unit(LINES_WATCHED, files=[LINES, LINES_SETTINGS, LINES_UNIT])


def _one_line() -> None:
    retired(LINES_WATCHED)
    for path in (LINES_UNIT, LINES, LINES_SETTINGS, LINES_NETWORKD):
        absent(path)


def _without_shaping() -> None:
    retired(SHAPING)
    for path in (SHAPE_DIALLED, SHAPING_UNIT, SHAPE):
        absent(path)


def _names(ctx: Context[Options]) -> None:
    place(ctx, BLOCKED, values=_helpers(ctx), validate=CHECK_BLOCKED)
    if ctx.site.upstream.trust_anchors:
        # Two sources of anchors for one name do not go together; only a lab has anchors of its own.
        absent(ROOT_ANCHOR)
    # It would write /etc/resolv.conf too, and fails where resolvconf is not there.
    masked(UNBOUND_HELPER)
    place(ctx, UNBOUND, values=_helpers(ctx), validate=CHECK_UNBOUND)


def _helpers(ctx: Context[Options]) -> dict[str, object]:
    return {
        "blocked": (CANARY, *ctx.options.block_list),
        "ipv6": has_ipv6(ctx),
        "guests": wiring.guests,
        "device": wiring.device,
        "outside": [wiring.device(uplink) for uplink in ctx.site.uplinks],
        "calls": shaping.CALLS,
        "lease_seconds": wiring.lease_seconds,
        "media": ctx.site.upstream.media,
        "handed_on": wiring.handed_on,
        "names": wiring.names,
        "openings_between_zones": wiring.openings_between_zones,
        "openings_of_gateway": wiring.openings_of_gateway,
        "records": wiring.records,
        "reserved": wiring.reserved,
        "reverse": wiring.reverse,
        "reverse_zones": wiring.reverse_zones,
        "support_interface": SUPPORT_INTERFACE,
        "support_ports": wiring.support_ports,
        "ways": failover.ways(ctx.site),
    }
