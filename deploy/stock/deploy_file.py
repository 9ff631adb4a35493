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
from deploy.site import ROLES
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
    for context in contexts_of(order, ROLES, lab=bool(lab), debian=debian):
        tasks = import_module(f"roles.{context.role.name}.tasks")
        for stage in STAGES:
            getattr(tasks, stage)(context)


@cache
def _orders(commune: str, lab: bool) -> dict[str, Order]:
    return cached_target(commune, lab).orders()
