"""The host firewall of each kind of machine, through nft."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from render_sites import SITES
from rendering import context, rendered

from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.role import Kind
from deploy.inventory.site import Site
from deploy.site import CATALOG
from roles.firewall import tasks
from roles.firewall.rules import open_to_all, openings

INVENTORIES = Path(__file__).parents[2] / "inventories"
Accepted = Callable[..., None]
HOSTS = [
    pytest.param(which, machine.name, id=f"{name}-{machine.name}")
    for name, which in SITES.items()
    if name in {"trunk", "ipv6"}
    for machine in which.machines
    if machine.kind not in {Kind.GATEWAY, Kind.UNMANAGED}
]


@pytest.mark.parametrize("log_refused", [True, False])
@pytest.mark.parametrize(("which", "name"), HOSTS)
def test_nft_takes_the_rules(which: Site, name: str, log_refused: bool, accepted: Accepted) -> None:
    ctx = context(which, name, "firewall", log_refused=log_refused)
    machine = which.machine(name)
    text = rendered(ctx, tasks.RULES, openings=openings(which, machine), open_to_all=open_to_all(machine))
    accepted(text, "nftables.conf", f"{tasks.CHECK} && nft -f {{}} && nft -f {{}}")


def test_ssh_is_open_to_management_and_to_the_gateway_s_side() -> None:
    which = SITES["trunk"]
    (opening,) = openings(which, which.machine("vp01"))
    assert opening.ports == (22,)
    assert opening.sources == (str(which.zone("management").network), str(which.zone("office").gateway))


def test_ipv6_gets_its_own_opening() -> None:
    which = SITES["ipv6"]
    assert {opening.family for opening in openings(which, which.machine("vp01"))} == {"ip", "ip6"}


def test_what_the_gateway_hands_on_is_open_to_who_is_not_the_commune_s(accepted: Accepted) -> None:
    which = resolve(load(INVENTORIES, CATALOG), "xa-mau").site
    server = which.machine("srv1")
    ctx = context(which, "srv1", "firewall")
    text = rendered(ctx, tasks.RULES, openings=openings(which, server), open_to_all=open_to_all(server))
    assert "ip saddr != 10.52.0.0/22 tcp dport 25 accept" in text
    assert text.count("from outside") == 1
    accepted(text, "nftables.conf", f"{tasks.CHECK} && nft -f {{}} && nft -f {{}}")


def test_calls_leave_a_desk_with_their_mark(accepted: Accepted) -> None:
    which = resolve(load(INVENTORIES, CATALOG), "xa-mau").site
    desk = which.machine("vp01")
    text = rendered(context(which, "vp01", "firewall"), tasks.RULES, openings=openings(which, desk), open_to_all=())
    assert "udp dport { 3478, 10000-20000, 30000-31999 } ip dscp != ef ip dscp set af41" in text
    accepted(text, "nftables.conf", f"{tasks.CHECK} && nft -f {{}} && nft -f {{}}")
