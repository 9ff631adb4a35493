"""The host firewall of every managed machine behind the gateway.

The gateway keeps zones apart; this one keeps machines of one zone apart. Nothing gets in but what a role's card on
this machine opens, to the zones that the card names, and the gateway itself as support's way in.
"""

from __future__ import annotations

from deploy.inventory.role import Role, Unit
from roles.firewall.options import Options

ROLE = Role(
    name="firewall",
    summary="The host firewall of every machine behind the gateway.",
    options=Options,
    packages=("nftables",),
    units=(Unit("nftables", "loads the host firewall at boot"),),
    needs=("base",),
)
