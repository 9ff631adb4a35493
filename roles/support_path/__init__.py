"""The way in for the province's engineers where the commune has no public address: a tunnel that the gateway opens.

WireGuard, by the kernel's module or where it is missing by wireguard-go. The gateway calls the province and keeps the
way open, so nothing has to lead in from outside. Through it engineers meet the gateway at its own address, and there
what support may reach: SSH, and by it every machine.
"""

from __future__ import annotations

from deploy.inventory.role import Role, Secret, Unit
from deploy.inventory.site import SUPPORT_INTERFACE, Site
from deploy.inventory.support_path import KEY
from deploy.inventory.support_path import ROLE as NAME
from roles.support_path.options import Options


def secrets(options: Options, site: Site) -> tuple[Secret, ...]:
    """The gateway's end is known by its key."""
    return (KEY,)


ROLE = Role(
    name=NAME,
    summary="The way in for the province's engineers where the commune has no public address.",
    options=Options,
    packages=("wireguard-go", "wireguard-tools"),
    units=(Unit(f"wg-quick@{SUPPORT_INTERFACE}", "the tunnel to the province"),),
    needs=("network",),
    secrets=secrets,
)
