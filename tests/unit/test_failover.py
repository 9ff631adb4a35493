"""Several lines out: their tables and marks, whom the watcher asks, and what is known of it."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.site import Site, SiteUplink
from deploy.site import CATALOG
from roles.network import failover, wiring
from roles.network.failover import ROOT_SERVERS, Watched, watched
from roles.network.options import Options

FIBRE = SiteUplink(name="fibre", interface="wan0", method="dhcp")
DIALLED = SiteUplink(name="backup", interface="wan1", method="pppoe", user="xamau")


@pytest.fixture(scope="module")
def one_line() -> Site:
    site = resolve(load(Path(__file__).parents[2] / "inventories", CATALOG), "xa-mau").site
    return site.model_copy(update={"uplinks": (FIBRE,)})


@pytest.fixture(scope="module")
def two_lines(one_line: Site) -> Site:
    return one_line.model_copy(update={"uplinks": (FIBRE, DIALLED)})


def test_with_one_line_there_is_nothing_to_choose(one_line: Site) -> None:
    assert failover.ways(one_line) == ()
    assert wiring.table_of(one_line, FIBRE) is None


def test_each_line_has_a_table_and_a_mark_of_its_own(two_lines: Site) -> None:
    first, second = failover.ways(two_lines)
    assert (first.name, first.device, first.dialled) == ("fibre", "wan0", False)
    assert (second.name, second.device, second.dialled) == ("backup", "ppp-backup", True)
    assert [wiring.table_of(two_lines, line) for line in (FIBRE, DIALLED)] == [first.table, second.table]
    assert len({first.table, second.table}) == len({first.mark, second.mark}) == 2


@pytest.mark.parametrize(
    ("probes", "resolvers", "asked"),
    [
        ((), (), ROOT_SERVERS),
        ((), ("10.52.252.53",), ("10.52.252.53",)),
        (("192.0.2.1",), ("10.52.252.53",), ("192.0.2.1",)),
    ],
)
def test_whom_the_watcher_asks(
    two_lines: Site, probes: tuple[str, ...], resolvers: tuple[str, ...], asked: tuple[object, ...]
) -> None:
    upstream = two_lines.upstream.model_copy(update={"resolvers": tuple(map(IPv4Address, resolvers))})
    site = two_lines.model_copy(update={"upstream": upstream})
    told = failover.settings(site, Options.model_validate({"line_probes": probes}))
    assert told["ask"] == [str(address) for address in asked]


def test_what_is_known(tmp_path: Path) -> None:
    state = tmp_path / "lines.json"
    assert watched(state) == Watched()
    lines = {"fibre": {"works": False, "since": 1}, "backup": {"works": True, "since": 1}}
    state.write_text(json.dumps({"in_use": "backup", "lines": lines}), encoding="utf-8")
    assert watched(state) == Watched("backup", frozenset({"fibre"}))
