"""Orders: all that a machine needs, nothing of another's, and the same bytes for the same inventory."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sample_site import CATALOG, sample_options, sample_site

from deploy import site
from deploy.inventory.role import Secret
from deploy.order import Order, make_orders

HERE = Path(__file__).parent


def secrets_for(machine: str, role: str, secret: Secret) -> str:
    return f"value of {role}.{secret.name} for {machine}"


def orders() -> dict[str, Order]:
    return make_orders(sample_site(), sample_options(), secrets_for, CATALOG)


def test_every_managed_machine_gets_an_order_with_its_roles_in_order() -> None:
    assert {name: [role.name for role in order.roles] for name, order in orders().items()} == {
        "gw1": ["base", "network"],
        "srv1": ["base", "page"],
        "vp01": ["base"],
    }


def test_an_order_holds_only_what_its_own_roles_ask_for() -> None:
    made = orders()
    assert set(made["gw1"].secrets) == {"base.console_password", "network.pppoe_fibre"}
    assert made["vp01"].secrets == {"base.console_password": "value of base.console_password for vp01"}
    assert b"pppoe_fibre" not in made["vp01"].to_bytes()


def test_no_secret_is_asked_for_that_no_role_needs() -> None:
    asked = set()

    def note(machine: str, role: str, secret: Secret) -> str:
        asked.add((machine, role, secret.name))
        return "x"

    make_orders(sample_site(), sample_options(), note, CATALOG)
    everywhere = {(machine, "base", "console_password") for machine in ("gw1", "srv1", "vp01")}
    assert asked == everywhere | {("gw1", "network", "pppoe_fibre")}


def test_options_come_back_as_they_were() -> None:
    order = Order.model_validate_json(orders()["gw1"].to_bytes())
    for role in order.roles:
        assert CATALOG.roles[role.name].options.model_validate(role.options) == sample_options()["gw1"][role.name]


def test_the_order_of_sets_does_not_show() -> None:
    locales = orders()["vp01"].roles[0].options["locales"]
    assert locales == sorted(locales)


def _digests(seed: str) -> str:
    program = "import test_orders; print([order.digest for order in test_orders.orders().values()])"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{HERE}:{HERE.parents[1]}"}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_the_same_inventory_gives_the_same_bytes_in_any_process() -> None:
    assert _digests("1") == _digests("2") == f"{[order.digest for order in orders().values()]}\n"


@pytest.mark.parametrize("change", ["site", "option"])
def test_another_inventory_gives_another_digest(change: str) -> None:
    site, options = sample_site(), sample_options()
    if change == "site":
        site = site.model_copy(update={"domain": "khac.gialai.gov.vn"})
    else:
        options["vp01"]["base"] = options["vp01"]["base"].model_copy(update={"window": {"from": "03:00"}})
    assert make_orders(site, options, secrets_for, CATALOG)["vp01"].digest != orders()["vp01"].digest


def test_every_machine_has_its_roles_in_the_order_of_all() -> None:
    """The stock pyinfra command goes through all roles on every machine, and must not apply them otherwise."""
    order = site.CATALOG.in_order()
    assert set(order) == set(site.ROLES)
    for kind in site.KINDS:
        for number in range(len(site.SERVICES) + 1):
            for offered in itertools.combinations(site.SERVICES, number):
                names = site.CATALOG.names(kind, offered)
                assert list(names) == [role for role in order if role in names]
