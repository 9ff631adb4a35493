"""Which roles a kind of machine gets, in which order."""

from __future__ import annotations

from importlib import import_module

import roles.base
import roles.cache
import roles.firewall
import roles.mail
import roles.mail_client
import roles.network
import roles.one_stop
from deploy.inventory.role import Catalog, Kind, Role

ROLES: dict[str, Role] = {
    role.name: role
    for role in (
        roles.base.ROLE,
        roles.network.ROLE,
        roles.firewall.ROLE,
        roles.cache.ROLE,
        roles.mail.ROLE,
        roles.mail_client.ROLE,
        roles.one_stop.ROLE,
    )
}

KINDS: dict[Kind, tuple[str, ...]] = {
    Kind.GATEWAY: ("base", "network"),
    Kind.SERVER: ("base", "firewall"),
    Kind.OFFICE: ("base", "firewall", "one_stop"),
    Kind.COUNTER: ("base", "firewall", "one_stop"),
    Kind.ROOM: ("base", "firewall"),
    Kind.UNMANAGED: (),
}

SERVICES: dict[str, str] = {"packages": "cache", "mail": "mail", "mail client": "mail_client"}
"""The role that offers a service of the commune, or uses it; which machine has it is the inventory's to say."""

CATALOG = Catalog(ROLES, KINDS, SERVICES)

if "__name__" not in globals():
    # Executed by `pyinfra @lienxa/COMMUNE deploy/site.py` rather than imported: pyinfra gives a deploy file no name.
    # By name, so that nothing that imports this module imports pyinfra with it.
    import_module("deploy.stock.deploy_file").apply_roles()
