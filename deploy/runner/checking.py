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

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from deploy.inventory.site import Site, SiteMachine

_Function = TypeVar("_Function", bound=Callable[..., None])
Cases = Callable[[Site, SiteMachine, Any], Iterable[Any]]
"""Gives the cases of a check for this site, this machine and this role's options."""


def each(cases: Cases) -> Callable[[_Function], _Function]:
    """One check per case of `cases(site, machine, options)`; see above."""

    def mark(function: _Function) -> _Function:
        function.cases_of_site = cases  # type: ignore[attr-defined]
        return function

    return mark
