"""How lines are shared out: the meeting service's ports, rates, blocks of ports, and what is said of a kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.site import PortRange, Site, SiteUplink
from deploy.lab.rehearsal import rehearse
from deploy.runner.hardware import Hardware, Queueing
from deploy.site import CATALOG
from roles.network import shaping
from roles.network.options import Options

INVENTORIES = Path(__file__).parents[2] / "inventories"


@pytest.fixture(scope="module")
def model() -> Site:
    return resolve(load(INVENTORIES, CATALOG), "xa-mau").site


def with_lines(site: Site, *uplinks: SiteUplink) -> Site:
    return site.model_copy(update={"uplinks": uplinks})


def test_the_service_stands_on_the_site_and_in_its_lab(model: Site) -> None:
    service = model.upstream.meeting
    assert service is not None
    assert [str(ports) for ports in service.media] == ["3478", "10000-20000"]
    assert rehearse(model).upstream.meeting == service


def test_a_line_is_given_a_little_less_than_its_rate(model: Site) -> None:
    dialled = SiteUplink(name="vnpt", interface="wan1", method="pppoe", user="x", up=10_000_000)
    unknown = SiteUplink(name="backup", interface="wan2", method="dhcp")
    fibre = SiteUplink(name="fibre", interface="wan0", method="dhcp", down=50_000_000, up=20_000_000)
    first, second = shaping.lines(with_lines(model, fibre, dialled, unknown))
    assert (first.device, first.helper, first.up, first.down) == ("wan0", "in-fibre", 19_000_000, 42_500_000)
    assert (second.device, second.helper, second.up, second.down) == ("ppp-vnpt", "in-vnpt", 9_500_000, None)
    assert shaping.queues(with_lines(model, fibre, dialled, unknown)) == (
        ("wan0", 19_000_000),
        ("ppp-vnpt", 9_500_000),
        ("in-fibre", 42_500_000),
    )


@pytest.mark.parametrize(("first", "last"), [(3478, 3478), (10000, 20000), (1, 65535), (1023, 1025), (65535, 65535)])
def test_blocks_are_these_ports_and_no_others(first: int, last: int) -> None:
    blocks = shaping.masks([PortRange(first=first, last=last)])
    matched = [port for port in range(65536) if any(port & block.mask == block.value for block in blocks)]
    assert matched == list(range(first, last + 1))


def test_rates_are_read_as_tc_tells_them() -> None:
    cake = "qdisc cake 1: root refcnt 2 bandwidth 42500Kbit diffserv4 dual-dsthost nat nowash ingress\n"
    htb = "class htb 1:1 root rate 19Mbit ceil 19Mbit burst 1600b cburst 1600b\nclass htb 1:4 rate 9500Kbit prio 0\n"
    assert shaping.rates_shown(cake) == (42_500_000,)
    assert shaping.rates_shown(htb) == (19_000_000, 9_500_000)


@pytest.mark.parametrize(
    ("queueing", "said"),
    [("cake", ""), ("fq_codel", "HTB with fq_codel"), ("htb", "HTB alone"), ("none", "cannot share"), (None, "")],
)
def test_what_a_kernel_cannot_is_said(model: Site, queueing: Queueing | None, said: str) -> None:
    warnings = shaping.warnings(Options(), Hardware(queueing=queueing), model)
    assert bool(warnings) == bool(said)
    assert said in "".join(warnings)


def test_nothing_is_said_where_no_rate_is_known(model: Site) -> None:
    site = with_lines(model, SiteUplink(name="fibre", interface="wan0", method="dhcp"))
    assert shaping.warnings(Options(), Hardware(queueing="none"), site) == ()
