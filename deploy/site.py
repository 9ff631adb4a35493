"""Which roles a kind of machine gets, in which order."""

from __future__ import annotations

from importlib import import_module

import roles.base
import roles.cache
import roles.desktop
import roles.firewall
import roles.mail
import roles.mail_client
import roles.network
import roles.one_stop
import roles.signing
import roles.support_path
import roles.video_client
from deploy.inventory.role import DESKS, Catalog, Kind, Role

ROLES: dict[str, Role] = {
    role.name: role
    for role in (
        roles.base.ROLE,
        roles.network.ROLE,
        roles.firewall.ROLE,
        roles.support_path.ROLE,
        roles.cache.ROLE,
        roles.mail.ROLE,
        roles.mail_client.ROLE,
        roles.desktop.ROLE,
        roles.one_stop.ROLE,
        roles.signing.ROLE,
        roles.video_client.ROLE,
    )
}

KINDS: dict[Kind, tuple[str, ...]] = {
    Kind.GATEWAY: ("base", "network"),
    Kind.SERVER: ("base", "firewall"),
    Kind.OFFICE: ("base", "firewall", "desktop", "one_stop", "signing", "video_client"),
    Kind.COUNTER: ("base", "firewall", "desktop", "one_stop", "signing", "video_client"),
    Kind.ROOM: ("base", "firewall", "desktop", "video_client"),
    Kind.UNMANAGED: (),
}

SERVICES: dict[str, str] = {
    "packages": "cache",
    "support path": "support_path",
    "mail": "mail",
    "mail client": "mail_client",
}
"""The role that offers a service of the commune, or uses it; which machine has it is the inventory's to say."""

USED_AT_DESKS = ("mail client",)
"""Of these services those whose role a desk has; the others are offered by a server or the gateway."""

CATALOG = Catalog(ROLES, KINDS, SERVICES)


def packages_of_desks() -> tuple[str, ...]:
    """Those of every role that some desk may have, for one lab image that fits all of them."""
    roles = (role for kind in sorted(DESKS) for role in CATALOG.of(kind, USED_AT_DESKS))
    return tuple(dict.fromkeys(package for role in roles for package in (*role.packages, *role.optional)))


if "__name__" not in globals():
    # Executed by `pyinfra @lienxa/COMMUNE deploy/site.py` rather than imported: pyinfra gives a deploy file no name.
    # By name, so that nothing that imports this module imports pyinfra with it.
    import_module("deploy.stock.deploy_file").apply_roles()
