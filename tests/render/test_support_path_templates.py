"""The gateway's end of the support path through wg-quick, and what the firewall lets in by it."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network

from render_sites import SITES
from rendering import context, rendered

from deploy.inventory.site import Site, SupportPath
from roles.network.tasks import CHECK_RULES, RULES
from roles.support_path import tasks

Accepted = Callable[..., None]
PATH = SupportPath(
    endpoint="hotro.gialai.gov.vn:51820",
    public_key="2Kpb8FTTkx7wJ5vV3kRzzjGqEzXIjCnpN9lo5Wba0AE=",
    prefixes=(IPv4Network("10.52.252.0/24"), IPv4Network("192.0.2.0/24")),
)


def with_path(which: Site) -> Site:
    return which.model_copy(update={"upstream": which.upstream.model_copy(update={"support_path": PATH})})


def test_wg_quick_takes_the_tunnel(accepted: Accepted) -> None:
    ctx = context(with_path(SITES["trunk"]), "gw1", "support_path")
    text = rendered(ctx, tasks.TUNNEL, end=PATH, key="private")
    assert "AllowedIPs = 10.52.252.0/24, 192.0.2.0/24" in text
    accepted(text, "support0.conf", tasks.CHECK_TUNNEL)


def test_nothing_but_ssh_comes_in_by_it(any_site: Site, accepted: Accepted) -> None:
    rules = rendered(context(with_path(any_site), "gw1", "network"), RULES)
    accepted(rules, "nftables.conf", CHECK_RULES)
    opened = [line.strip() for line in rules.splitlines() if "support0" in line]
    assert opened == [
        'iifname "support0" ip saddr != { 10.52.252.0/24, 192.0.2.0/24 } counter drop',
        'iifname "support0" tcp dport 22 accept comment "support path: SSH for support"',
    ]


def test_without_it_there_is_no_way_in(any_site: Site) -> None:
    assert "support0" not in rendered(context(any_site, "gw1", "network"), RULES)
