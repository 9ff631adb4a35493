"""Several lines out: which one is used, and how the gateway notices that one is dead. Plain data for the templates.

Each line has a routing table of its own with its default route, and a mark by which connections stay on the line
that they began on. A watcher asks through each line whether somebody beyond it answers; new connections take the
first line that works, in the order of the inventory. With one line there is nothing of this.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address
from pathlib import Path

from deploy.inventory.site import Site
from roles.network.options import Options
from roles.network.wiring import device, table_of

ROOT_SERVERS = (IPv4Address("198.41.0.4"), IPv4Address("193.0.14.129"), IPv4Address("202.12.27.33"))
"""a, k and m of the root servers (IANA): they answer everybody, and stand in three places of the world."""
FIRST_MARK = 0x100
STATE = "/run/lienxa/lines.json"
"""What the watcher knows, for checks and the doctor."""


@dataclass(frozen=True)
class Way:
    """One line of several."""

    name: str
    device: str
    table: int
    mark: int
    """Of the connections that began on it (conntrack)."""
    dialled: bool
    """Whether it has no router to name: packets are put on it as they are."""


def ways(site: Site) -> tuple[Way, ...]:
    """The lines in the order in which they are preferred; () where there is nothing to choose from."""
    tables = [(uplink, table_of(site, uplink)) for uplink in site.uplinks]
    return tuple(
        Way(uplink.name, device(uplink), table, FIRST_MARK + number, uplink.method == "pppoe")
        for number, (uplink, table) in enumerate(tables)
        if table is not None
    )


@dataclass(frozen=True)
class Watched:
    """What the watcher knows. Where there is one line, nothing."""

    in_use: str = ""
    """Name of the line that new connections take."""
    silent: frozenset[str] = frozenset()
    """Names of the lines through which nobody answers."""


def watched(state: Path = Path(STATE)) -> Watched:
    """What stands in its file now."""
    if not state.exists():
        return Watched()
    told = json.loads(state.read_text(encoding="utf-8"))
    return Watched(told["in_use"], frozenset(name for name, line in told["lines"].items() if not line["works"]))


def settings(site: Site, options: Options) -> dict[str, object]:
    """What the watcher is told, as JSON."""
    asked = options.line_probes or site.upstream.resolvers or ROOT_SERVERS
    return {
        "lines": [asdict(way) for way in ways(site)],
        "ask": [str(address) for address in asked],
        "return_seconds": options.line_return_seconds,
        "state": STATE,
    }
