"""A line dies in the middle of a call: real packets through the gateway's own rules and the watcher of its lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from render_sites import STATIC
from rendering import FOLDER, context, rendered
from test_network_templates import MODEL

from deploy.runner.operations.checkers import CHECK_JSON, CHECK_PYTHON
from roles.network import failover, tasks

PACKETS = Path(__file__).with_name("packets_on_two_lines.py")
FIRST, SECOND = "203.0.113.10", "203.0.113.74"
RETURN_SECONDS = 6
MOST_INTERRUPTED = 10.0
"""Seconds: what a call may be silent for while it goes over to the other line."""


def test_a_call_goes_on_by_the_other_line_and_comes_back_without_a_gap(
    accepted: Callable[..., None], said: Callable[..., str]
) -> None:
    site = MODEL.model_copy(update={"uplinks": (MODEL.uplinks[0], STATIC)})
    ctx = context(site, "gw1", "network", line_probes=["198.51.100.9"], line_return_seconds=RETURN_SECONDS)
    zone, desk = site.zone("office"), site.machine("vp01")
    accepted(rendered(ctx, tasks.RULES), "nftables.conf", tasks.CHECK_RULES)
    settings = {**failover.settings(site, ctx.options), "state": f"{FOLDER}/state.json"}
    accepted(rendered(ctx, tasks.LINES_SETTINGS, settings=settings), "lines.json", CHECK_JSON)
    accepted(rendered(ctx, tasks.LINES), "lines", CHECK_PYTHON)
    length = zone.network.prefixlen
    files = " ".join(f"{FOLDER}/{name}" for name in ("nftables.conf", "lines.json", "lines"))
    command = f"python3 {{}} {zone.gateway}/{length} {desk.address}/{length} {zone.interface} {files}"
    found = json.loads(said(PACKETS.read_text(), PACKETS.name, command, seconds=180).splitlines()[-1])
    assert found["before"] == [FIRST], found
    assert found["interrupted"] < MOST_INTERRUPTED, found
    assert found["after"] == [SECOND], found
    assert found["returned_after"] >= RETURN_SECONDS, found
    assert found["interrupted_by_return"] < 1.0, found
    assert found["new"] == [FIRST], found
