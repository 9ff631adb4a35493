"""The host firewall of every machine behind the gateway."""

from __future__ import annotations

from deploy.inventory.role import Role
from roles.firewall.options import Options

ROLE = Role(
    name="firewall",
    summary="The host firewall of every machine behind the gateway.",
    options=Options,
)
