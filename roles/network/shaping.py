"""How the gateway shares its lines out: rates, ports and marks as plain data for the templates, and what `plan` says.

Where a line is slower than what is sent, packets wait in the box that its provider owns, often for a second. Here we
send a little less than the line takes, so that they wait in the gateway instead, where calls go first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, summarize_address_range

from deploy.inventory.site import PortRange, Site, SiteUplink
from deploy.runner.hardware import Hardware
from roles.network.options import Options
from roles.network.wiring import device

CALLS = ("ef", "af41")
"""Marks (DSCP) of calls: sound (RFC 3246) and interactive video (RFC 4594, 4.3)."""
CALL_BYTES = (0xB8, 0x88)
"""The same as tc compares them: the whole byte of which DSCP is the upper six bits."""
SHARE_UP = 0.95
SHARE_DOWN = 0.85
"""How much of its rate a line is given. Down there has to be room for senders to notice that packets wait."""
_LONGEST_INTERFACE = 15
_RATE = re.compile(r"\b(?:bandwidth|rate) ([0-9.]+)([KMG]?)bit")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_SIXTEEN_BITS = 0xFFFF


@dataclass(frozen=True)
class Line:
    """A line with the rates that it is given, in bit/s; None where its rate is not known."""

    device: str
    helper: str
    """Interface (ifb) through which what comes in is led, so that it can wait."""
    up: int | None
    down: int | None


@dataclass(frozen=True)
class PortMask:
    """A block of ports as tc's u32 matches it: those with the same bits where the mask has some."""

    value: int
    mask: int


def lines(site: Site) -> tuple[Line, ...]:
    """Every line whose rate is known."""
    return tuple(
        Line(device(uplink), helper(uplink), _share(uplink.up, SHARE_UP), _share(uplink.down, SHARE_DOWN))
        for uplink in site.uplinks
        if uplink.shaped
    )


def queues(site: Site) -> tuple[tuple[str, int], ...]:
    """Every interface where packets wait, with its rate in bit/s."""
    found = [(line.device, line.up) for line in lines(site)] + [(line.helper, line.down) for line in lines(site)]
    return tuple((where, rate) for where, rate in found if rate)


def rates_shown(text: str) -> tuple[float, ...]:
    """The rates in bit/s that tc tells of queues and classes: `bandwidth 19Mbit`, `rate 425Kbit`."""
    return tuple(float(number) * _UNITS[unit] for number, unit in _RATE.findall(text))


def helper(uplink: SiteUplink) -> str:
    """Name of the interface through which what comes in by an uplink is led."""
    return f"in-{uplink.name}"[:_LONGEST_INTERFACE]


def masks(ranges: Iterable[PortRange]) -> tuple[PortMask, ...]:
    """The fewest blocks that are these ports and no others."""
    return tuple(
        PortMask(int(block.network_address), int(block.netmask) & _SIXTEEN_BITS)
        for ports in ranges
        for block in summarize_address_range(IPv4Address(ports.first), IPv4Address(ports.last))
    )


def warnings(options: Options, hardware: Hardware, site: Site) -> tuple[str, ...]:
    """How calls fare on this kernel, where it is not the best way."""
    if not lines(site) or hardware.queueing is None:
        return ()
    said = _WORDS.get(hardware.queueing)
    return (said,) if said else ()


_WORDS = {
    "fq_codel": "this kernel has no CAKE: lines are shared out by HTB with fq_codel, calls first",
    "htb": "this kernel has neither CAKE nor fq_codel: lines are shared out by HTB alone, calls first; a large "
    "transfer makes other people wait",
    "none": "this kernel cannot share lines out (no CAKE, no HTB): a large transfer disturbs calls",
}


def _share(rate: int | None, share: float) -> int | None:
    return round(rate * share) if rate else None
