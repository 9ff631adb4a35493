"""Which roles a kind of machine gets, in which order."""

from __future__ import annotations

import roles.base
import roles.firewall
import roles.network
from deploy.inventory.role import Catalog, Kind, Role

ROLES: dict[str, Role] = {role.name: role for role in (roles.base.ROLE, roles.network.ROLE, roles.firewall.ROLE)}

KINDS: dict[Kind, tuple[str, ...]] = {
    Kind.GATEWAY: ("base", "network"),
    Kind.SERVER: ("base", "firewall"),
    Kind.OFFICE: ("base", "firewall"),
    Kind.COUNTER: ("base", "firewall"),
    Kind.ROOM: ("base", "firewall"),
    Kind.UNMANAGED: (),
}

CATALOG = Catalog(ROLES, KINDS)
