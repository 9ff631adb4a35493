"""Checks, run on the machine itself: derived from the cards, written by the roles, and probes with real packets.

For who writes `roles/<role>/checks.py`
---------------------------------------
A check is a plain pytest function; its module is run on the machine with testinfra's `local://` host::

    import pytest

    from deploy.runner.checking import each

    @pytest.mark.needs("unit:unbound")
    @pytest.mark.next_step("On {machine}: `unbound-control lookup {name}` says whom it asks.")
    @each(lambda site, machine, options: [m.fqdn for m in site.machines])
    def test_resolves(host, machine, name):
        \"\"\"{machine} resolves {name}.\"\"\"
        answer = host.run("dig +short +time=1 +tries=1 @127.0.0.1 %s", name)
        assert answer.stdout.strip(), f"no address for {name}"

- Fixtures: `host` (testinfra), `site` (Site), `machine` (SiteMachine), `options` (this role's Options); and
  those that the module itself defines with `@pytest.fixture`.
- The docstring is the check's sentence, one line: what is so when the check is green. In it and in `next_step`
  stand `{machine}` (the machine's name), the parameters by name (`{name}`, `{zone.network}`), `{site.…}` and
  `{options.…}`; a literal brace is doubled.
- `@each(f)`: one check per case of `f(site, machine, options)`. Every argument of the function that is no
  fixture is a parameter, in this order: one takes the case itself, several take a tuple. No case, no check. In
  the id a case is its `name`, else its text; `pytest.param(…, id="…")` says it otherwise.
  `@pytest.mark.parametrize` is fine for what does not depend on the site; do not put both on one function.
- `@pytest.mark.needs("unit:unbound", …)`: ids of checks that come before; if one of them is not green, this
  check is skipped and says which. Ids: `package:<package>`, `unit:<unit>` (`.service` may be left out),
  `port:<tcp|udp>/<number>`, and `<role>.<function>` or `<role>.<function>[<case>]` of a check further up; the
  function alone means each of its cases. For a whole module: `pytestmark = pytest.mark.needs(…)`.
- `@pytest.mark.next_step("…")`: what to do when it is red; without it, the report says to apply the role again.
- An `assert` that does not hold (or `pytest.fail`) is *failed*, any other exception is *error*, and
  `pytest.skip` is *skipped* with its reason. A check of more than 30 s is an error. Write `assert x, "message"`
  where the values alone do not tell.
- Order: the checks derived from the cards, then the roles' in the order of the machine's roles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from deploy.inventory.role import Role
from deploy.inventory.site import Site, SiteMachine
from deploy.order import Request
from deploy.runner.check_result import Journal, Ledger
from deploy.runner.derived_checks import check_cards
from deploy.runner.journal_writer import Counts
from deploy.runner.probing import probing

_Function = TypeVar("_Function", bound=Callable[..., None])
Cases = Callable[[Site, SiteMachine, Any], Iterable[Any]]
"""Gives the cases of a check for this site, this machine and this role's options."""


def run_checks(
    request: Request, journal: Journal, roles: Mapping[str, Role], modules: Callable[[str], Path | None] | None = None
) -> Counts:
    """Every check of the request's machine, each in the journal as it ends; what they came to.

    `roles`: every card of the catalog, by name (probes name roles of other machines too). `modules`: where a role's
    checks are, None for none; without it `roles/<role>/checks.py`.
    A machine without roles (unmanaged, or none of the site's) has just its probes, and pytest is not needed for them.
    """
    ledger = Ledger(journal)
    ordered = {order.name: order for order in request.order.roles if _wanted(request, order.name)}
    find = modules or _module
    with probing(request) as probes:
        check_cards(request, {name: roles[name] for name in ordered}, ledger)
        found = {name: path for name in ordered if (path := find(name))}
        if found:
            # Imported here: a vantage point without roles needs neither pytest nor testinfra.
            from deploy.runner.check_session import RoleChecks, run_session  # noqa: PLC0415

            run_session(
                request,
                tuple(
                    RoleChecks(name, path, roles[name].options.model_validate(ordered[name].options))
                    for name, path in found.items()
                ),
                ledger,
            )
        probes.report(roles, ledger)
    return ledger.counts


def each(cases: Cases) -> Callable[[_Function], _Function]:
    """One check per case of `cases(site, machine, options)`; see above."""

    def mark(function: _Function) -> _Function:
        function.cases_of_site = cases  # type: ignore[attr-defined]
        return function

    return mark


def _wanted(request: Request, role: str) -> bool:
    return not request.only_roles or role in request.only_roles


def _module(role: str) -> Path | None:
    spec = find_spec(f"roles.{role}.checks")
    return Path(spec.origin) if spec and spec.origin else None
