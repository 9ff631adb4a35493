"""Proves the role `support_path`: the province has answered."""

from __future__ import annotations

import time

import pytest
from testinfra.host import Host

from deploy.inventory.site import SUPPORT_INTERFACE

YOUNG_SECONDS = 180
"""After that a tunnel is thought dead (WireGuard's REJECT_AFTER_TIME, whitepaper, 6.1); one in use has a new
handshake every two minutes."""
PATIENCE_SECONDS = 20
"""A tunnel that has just been made has its first handshake at once, or after five seconds where a packet was lost."""


@pytest.mark.needs(f"unit:wg-quick@{SUPPORT_INTERFACE}")
@pytest.mark.next_step(
    "Does the province know the commune's key? `lienxa support-path COMMUNE` prints what it has to add. Else the "
    "line lets no UDP out to it: `wg show support0` on {machine} says how much was sent and received."
)
def test_province_has_answered(host: Host) -> None:
    """The province has answered {machine} through the support path, within three minutes."""
    end = time.monotonic() + PATIENCE_SECONDS
    while (age := _age(host)) is None and time.monotonic() < end:
        time.sleep(0.5)
    assert age is not None, "there was no handshake yet"
    assert age < YOUNG_SECONDS, f"the last handshake was {age:.0f} s ago"


def _age(host: Host) -> float | None:
    """Seconds since the last handshake; None where there was none."""
    shown = host.check_output("wg show %s latest-handshakes", SUPPORT_INTERFACE).split()
    when = int(shown[1]) if len(shown) == 2 else 0
    return time.time() - when if when else None
