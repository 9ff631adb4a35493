"""The gateway: uplinks, zones, firewall, addresses, names, time."""

from __future__ import annotations

from deploy.inventory.role import Role
from roles.network.options import Options

ROLE = Role(
    name="network",
    summary="The gateway: uplinks, zones, firewall, addresses, names, time.",
    options=Options,
)
