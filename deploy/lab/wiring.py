"""Cables and switches: network namespaces on the laptop, without any route out of them.

A commune's bridges stand in one namespace, every machine in one of its own that is there before its container and
outlives it, and the laptop's side in another. Deleting them takes every interface with them.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Collection, Sequence

from deploy.errors import LabError
from deploy.inventory.site import Site
from deploy.lab.laptop import run
from deploy.lab.rehearsal import LAPTOP, Link, laptop_address, links, uplink_network

_LONGEST_NAME = 15


def namespace(slug: str, machine: str) -> str:
    """Name of the machine's network namespace; of its container too."""
    return f"lx-{slug}_{LAPTOP}" if machine == LAPTOP else f"lx-{slug}.{machine}"


def path(name: str) -> str:
    """Where the namespace of that name is found."""
    return f"/run/netns/{name}"


def wire(site: Site) -> None:
    """Make what is missing of the commune's networks. What is already right stays untouched."""
    slug = site.commune.slug
    cables = links(site)
    _refuse_long_names(cables)
    _make_namespaces(slug, sorted({cable.machine for cable in cables}))
    switches = _bridges_namespace(slug)
    there = _interfaces(switches)
    names = sorted({cable.bridge for cable in cables})
    _ip(switches, [f"link add {name} type bridge mcast_snooping 0" for name in names if name not in there])
    missing = _missing(slug, cables)
    # Plugs whose other end is in a namespace that lost its name; the kernel may be about to remove them too.
    _ip(switches, [f"link delete {_plug(cable)}" for cable in missing], "-force", check=False)
    _ip(switches, [_new_cable(slug, cable) for cable in missing])
    _ip(switches, [f"link set {name} up" for name in names])
    _ip(switches, [f"link set {_plug(cable)} master {cable.bridge} up" for cable in cables])
    addresses = []
    for index in range(len(site.uplinks)):
        addresses += [
            f"address replace {laptop_address(index)}/{uplink_network(index).prefixlen} dev up{index}",
            f"link set up{index} up",
        ]
    _ip(namespace(slug, LAPTOP), addresses)


def unwire(slug: str, keep: Collection[str] | None = None) -> None:
    """Remove the commune's namespaces and end what still runs in them; with `keep`, only those of other machines."""
    kept = {namespace(slug, machine) for machine in (*keep, LAPTOP)} | {_bridges_namespace(slug)} if keep else set()
    for name in namespaces(slug):
        if name not in kept:
            for pid in run(["ip", "netns", "pids", name], root=True, check=False).stdout.split():
                _end(int(pid))
            run(["ip", "netns", "delete", name], root=True)


def namespaces(slug: str) -> tuple[str, ...]:
    """Names of the commune's namespaces that are there."""
    listed = run(["ip", "-j", "netns", "list"]).stdout
    names = [entry["name"] for entry in json.loads(listed or b"[]")]
    own = (f"lx-{slug}_", f"lx-{slug}.")
    return tuple(sorted(name for name in names if name.startswith(own)))


def _refuse_long_names(cables: Sequence[Link]) -> None:
    for cable in cables:
        if len(cable.interface) > _LONGEST_NAME:
            raise LabError(
                f"{cable.machine}: the interface name {cable.interface} has more than {_LONGEST_NAME} characters, "
                "which Linux does not take"
            )


def _bridges_namespace(slug: str) -> str:
    return f"lx-{slug}_bridges"


def _make_namespaces(slug: str, machines: Sequence[str]) -> None:
    there = namespaces(slug)
    for name in (_bridges_namespace(slug), *(namespace(slug, machine) for machine in machines)):
        if name not in there:
            run(["ip", "netns", "add", name], root=True)
    for name in (_bridges_namespace(slug), namespace(slug, LAPTOP)):
        # These only carry or send packets by hand: no address of their own making.
        silence = "cd /proc/sys/net/ipv6/conf && echo 1 > all/disable_ipv6 && echo 1 > default/disable_ipv6"
        run(["ip", "netns", "exec", name, "sh", "-c", silence], root=True, check=False)


def _interfaces(name: str) -> frozenset[str]:
    listed = json.loads(run(["ip", "-n", name, "-j", "link", "show"], root=True).stdout or b"[]")
    return frozenset(link["ifname"] for link in listed)


def _missing(slug: str, cables: Sequence[Link]) -> list[Link]:
    ends = {machine: _interfaces(namespace(slug, machine)) for machine in {cable.machine for cable in cables}}
    return [cable for cable in cables if cable.interface not in ends[cable.machine]]


def _plug(cable: Link) -> str:
    """Name of the cable's end at the bridge."""
    digest = hashlib.sha256(f"{cable.machine}/{cable.interface}/{cable.bridge}".encode()).hexdigest()
    return f"v{digest[:12]}"


def _new_cable(slug: str, cable: Link) -> str:
    there = f"name {cable.interface} address {cable.mac} netns {namespace(slug, cable.machine)}"
    return f"link add {_plug(cable)} type veth peer {there}"


def _ip(name: str, lines: Sequence[str], *options: str, check: bool = True) -> None:
    if lines:
        words = ("\n".join(lines) + "\n").encode()
        run(["ip", "-n", name, *options, "-batch", "-"], root=True, check=check, stdin=words)


def _end(pid: int) -> None:
    if os.geteuid() != 0:
        run(["kill", "-KILL", str(pid)], root=True, check=False)
        return
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
