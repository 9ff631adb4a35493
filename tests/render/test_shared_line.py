"""A call on a line that a large transfer fills: real packets through the gateway's own rules and queues."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rendering import FOLDER, context, rendered
from test_network_templates import MODEL, shape_values

from deploy.runner.operations.checkers import CHECK_SHELL
from roles.network import tasks

PACKETS = Path(__file__).with_name("packets_on_a_shared_line.py")
UP, DOWN = 2_000_000, 8_000_000
MOST_LOST = 0.01
MOST_LATER = 0.150
"""Seconds by which a call's round trip may grow; ITU-T G.114 has 0.15 one way as what most calls bear, of which the
line to the province takes its part."""
AF41 = 0x88


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_call_holds_on_a_full_line_and_without_us_it_does_not(
    way: str, accepted: Callable[..., None], said: Callable[..., str]
) -> None:
    slow = MODEL.uplinks[0].model_copy(update={"up": UP, "down": DOWN})
    site = MODEL.model_copy(update={"uplinks": (slow,)})
    ctx = context(site, "gw1", "network")
    zone, desk = site.zone("office"), site.machine("vp01")
    accepted(rendered(ctx, tasks.RULES), "nftables.conf", tasks.CHECK_RULES)
    accepted(rendered(ctx, tasks.SHAPE, **shape_values(site)), "shape", CHECK_SHELL)
    length = zone.network.prefixlen
    addresses = f"{zone.gateway}/{length} {desk.address}/{length} {zone.interface}"
    command = f"python3 {{}} {way} {UP} {DOWN} {addresses} {FOLDER}/nftables.conf {FOLDER}/shape"
    found = json.loads(said(PACKETS.read_text(), PACKETS.name, command, seconds=180).splitlines()[-1])
    later = {name: found[name]["slowest_twentieth"] - found["quiet"]["median"] for name in ("ours", "without")}
    assert found["ours"]["lost"] < MOST_LOST, found
    assert later["ours"] < MOST_LATER, found
    assert found["without"]["lost"] > MOST_LOST or later["without"] > MOST_LATER, found
    assert found["ours"]["marks"] == [AF41], found
