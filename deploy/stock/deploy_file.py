"""What `pyinfra @lienxa/<commune> deploy/site.py` does: the same roles, pushed over SSH by the stock command.

Slower than `lienxa apply`, and a dropped line stops it: for those who know pyinfra and want its ad-hoc ways.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from pyinfra.context import config, host

from deploy.order import Order
from deploy.runner.context import contexts_of
from deploy.runner.handed import ALSO
from deploy.site import CATALOG, ROLES
from deploy.stock.connector import cached_target

STAGES = ("install", "configure", "activate")


def apply_roles() -> None:
    """Prepare every operation of this host's roles; pyinfra shows, asks and runs them."""
    commune, lab = host.data.get("lienxa_commune"), host.data.get("lienxa_lab")
    if commune is None:
        raise ValueError(f"{host.name} comes from no commune: run pyinfra @lienxa/COMMUNE deploy/site.py")
    config.SUDO = True
    ALSO.update(cached_target(commune, bool(lab)).inventory.handed.files)
    order = _orders(commune, bool(lab))[host.data.lienxa_machine]
    debian = order.site.machine(order.machine).debian or "13"
    contexts = {one.role.name: one for one in contexts_of(order, ROLES, lab=bool(lab), debian=debian)}
    # pyinfra knows an operation by the lines that led to it, and by where its loops stand. All hosts go through all
    # roles, each through its own: lines that are the same in two roles would else be one operation.
    for role in host.loop(CATALOG.in_order()):
        for stage in host.loop(STAGES):
            if role in contexts:
                getattr(import_module(f"roles.{role}.tasks"), stage)(contexts[role])


@cache
def _orders(commune: str, lab: bool) -> dict[str, Order]:
    return cached_target(commune, lab).orders()
