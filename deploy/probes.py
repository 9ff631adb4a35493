"""Which packets must arrive and which must be refused, derived from the roles' cards."""

from __future__ import annotations

from typing import Literal

from deploy.inventory.site import Frozen


class Probe(Frozen):
    """A packet to be sent from one machine to another, and what has to come of it."""

    target: str
    """Name of the machine that is probed."""
    address: str
    port: int
    protocol: Literal["tcp", "udp"]
    how: Literal["connect", "dns", "ntp"]
    expect: Literal["reached", "refused"]
    purpose: str
    role: str
