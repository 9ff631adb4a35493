"""pytest, as the roles' checks see it: no files of the machine's own, no terminal, results to the ledger.

Imported only where a role has checks: pytest and testinfra take half a second to import on an old machine.
"""

from __future__ import annotations

import inspect
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import testinfra
import testinfra.host
from _pytest.fixtures import FixtureFunctionDefinition

from deploy.inventory.role import Options
from deploy.inventory.site import Site, SiteMachine, SitePort
from deploy.order import Request
from deploy.runner.check_result import CheckResult, Ledger, Status, apply_again, because

LIMIT = 30.0
"""Seconds that one check may take."""
_FIXTURES = ("host", "site", "machine", "options")
_UNUSED_PLUGINS = (
    "cacheprovider",
    "doctest",
    "faulthandler",
    "junitxml",
    "legacypath",
    "logging",
    "pastebin",
    "setuponly",
    "setupplan",
    "stepwise",
    "terminal",
    "unittest",
)
_SETTINGS = (
    "verbosity_assertions=1",
    # A case may be a person's name: it is to be read, in the journal and in the report.
    "disable_test_id_escaping_and_forfeit_all_rights_to_community_support=true",
)
_LINES, _CHARACTERS = 12, 1500
"""Longer details are cut: a report is read, not searched."""


@dataclass(frozen=True)
class RoleChecks:
    """A role whose checks are to be run."""

    name: str
    module: Path
    options: Options


def run_session(request: Request, roles: tuple[RoleChecks, ...], ledger: Ledger) -> None:
    """Run the checks of these roles, in their order, and write each down as it ends.

    What is wrong with a check is written down; what is raised is ours, such as a journal that cannot be written.
    """
    root = Path(os.path.commonpath([role.module.parent for role in roles]))
    arguments = [f"--rootdir={root}", f"--confcutdir={root}", "--config-file=/dev/null", "--noconftest"]
    arguments += ["--disable-plugin-autoload", "--import-mode=importlib", "--continue-on-collection-errors"]
    arguments += ["--capture=sys", *(f"--override-ini={setting}" for setting in _SETTINGS)]
    arguments += [word for plugin in _UNUSED_PLUGINS for word in ("-p", f"no:{plugin}")]
    with _without_environment("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        plugin = _Plugin(request, roles, ledger)
        code = pytest.main([*arguments, *(str(role.module) for role in roles)], plugins=[plugin])
    if plugin.broke is not None:
        raise plugin.broke
    if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED}:
        raise RuntimeError(f"the checks could not be run to their end: pytest ended with {code!r}")


class _Plugin:
    """Gives the fixtures, spreads cases, skips dependents, and turns pytest's reports into results."""

    def __init__(self, request: Request, roles: tuple[RoleChecks, ...], ledger: Ledger) -> None:
        self._request = request
        self._site = request.order.site
        self._machine = self._site.machine(request.order.machine)
        self._roles = {role.module.resolve(): role for role in roles}
        self._ledger = ledger
        self._role_now: str | None = None
        self._red: dict[str, tuple[Status, str]] = {}
        self._seconds = 0.0
        self.broke: BaseException | None = None
        """What went wrong outside of any check."""

    @pytest.fixture(scope="session")
    def host(self) -> testinfra.host.Host:
        """This machine, for testinfra."""
        return testinfra.get_host("local://")

    @pytest.fixture(scope="session")
    def site(self) -> Site:
        """The commune."""
        return self._site

    @pytest.fixture(scope="session")
    def machine(self) -> SiteMachine:
        """This machine in the commune."""
        return self._machine

    @pytest.fixture
    def options(self, request: pytest.FixtureRequest) -> Options:
        """The options of the role whose check asks."""
        return self._roles[request.path.resolve()].options

    def pytest_configure(self, config: pytest.Config) -> None:
        """Our marks; an unknown one is an error."""
        config.addinivalue_line("markers", "needs(id, …): skipped where one of these checks is not green")
        config.addinivalue_line("markers", "next_step(text): what to do when it is red")

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
        """Kept, to be raised again after pytest has ended: it would only print it."""
        self.broke = excinfo.value
        return True

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Likewise."""
        self.broke = excinfo.value

    def pytest_pycollect_makeitem(self, collector: pytest.Collector, name: str, obj: object) -> list[Any] | None:
        """No case on this machine: no check."""
        cases = self._cases(obj, collector.path)
        return [] if cases is not None and not cases else None

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One check per case."""
        cases = self._cases(metafunc.function, metafunc.definition.path)
        if cases is None:
            return
        names = [name for name in inspect.signature(metafunc.function).parameters if not _is_fixture(name, metafunc)]
        if not names:
            raise pytest.UsageError(f"{metafunc.function.__name__} has cases, but no argument that takes them")
        metafunc.parametrize(names if len(names) > 1 else names[0], cases, ids=_case_id)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """A module that cannot even be loaded is one check that broke."""
        report = yield
        role = self._roles.get(collector.path.resolve())
        if report.failed and role:
            sentence = f"{self._machine.name}: the checks of role {role.name} can be run."
            next_step = "It is a mistake in that file, or lienxa's: mend it, then verify again."
            self._turn_to(role)
            self._ledger.add(
                CheckResult(role.name, f"{role.name}.checks", sentence, "error", _cut(report.longreprtext), next_step)
            )
        return report

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Nothing is tried where its base is red."""
        cause = self._ledger.cause(_needs(item))
        if cause:
            pytest.skip(because(cause))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """A check that hangs must not hang the whole run."""
        with _limited(LIMIT):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """The first phase that is not green decides; teardown is the last one and closes the check."""
        report = yield
        self._seconds += call.duration
        if call.excinfo is not None:
            self._red.setdefault(item.nodeid, _verdict(call.excinfo))
        if call.when == "teardown":
            self._close(item)
        return report

    def _close(self, item: pytest.Item) -> None:
        role = self._roles[item.path.resolve()]
        status, detail = self._red.pop(item.nodeid, ("passed", ""))
        seconds, self._seconds = self._seconds, 0.0
        text = self._formatter(item, role)
        mark = item.get_closest_marker("next_step")
        again = f"{apply_again(self._request, self._machine.name, role.name)} puts the role right again."
        sentence = inspect.getdoc(getattr(item, "function", None)) or f"{{machine}}: {_spoken(item.name)}."
        self._turn_to(role)
        self._ledger.add(
            CheckResult(
                role=role.name,
                id=f"{role.name}.{item.name}",
                sentence=text(" ".join(sentence.split())),
                status=status,
                detail=detail,
                next_step=text(str(mark.args[0])) if mark else again,
                seconds=seconds,
            ),
            _needs(item),
        )

    def _turn_to(self, role: RoleChecks) -> None:
        if self._role_now != role.name:
            self._role_now = role.name
            self._ledger.role_started(role.name)

    def _formatter(self, item: pytest.Item, role: RoleChecks) -> Callable[[str], str]:
        values: Mapping[str, Any] = {
            **getattr(getattr(item, "callspec", None), "params", {}),
            "machine": self._machine.name,
            "site": self._site,
            "options": role.options,
        }

        def text(template: str) -> str:
            try:
                return template.format(**values)
            except (LookupError, ValueError, AttributeError):
                return template

        return text

    def _cases(self, function: object, path: Path) -> list[Any] | None:
        cases = getattr(function, "cases_of_site", None)
        if cases is None:
            return None
        return list(cases(self._site, self._machine, self._roles[path.resolve()].options))


def _needs(item: pytest.Item) -> list[str]:
    return [str(need) for mark in item.iter_markers("needs") for need in mark.args]


def _is_fixture(name: str, metafunc: pytest.Metafunc) -> bool:
    return name in _FIXTURES or isinstance(getattr(metafunc.module, name, None), FixtureFunctionDefinition)


def _verdict(excinfo: pytest.ExceptionInfo[BaseException]) -> tuple[Status, str]:
    if isinstance(excinfo.value, pytest.skip.Exception):
        return "skipped", str(excinfo.value)
    if isinstance(excinfo.value, AssertionError):
        return "failed", _cut(str(excinfo.value) or str(excinfo.traceback[-1].statement))
    if isinstance(excinfo.value, pytest.fail.Exception):
        return "failed", _cut(str(excinfo.value))
    where = excinfo.traceback[-1]
    place = f"{Path(str(where.path)).name}:{where.lineno + 1}"
    return "error", _cut(f"{excinfo.typename}: {excinfo.value} (at {place})")


def _cut(text: str) -> str:
    lines = text.strip().splitlines()
    kept = "\n".join(lines[:_LINES])[:_CHARACTERS]
    return kept if kept == "\n".join(lines) else f"{kept} …"


def _case_id(value: object) -> str:
    if isinstance(value, SitePort):
        return f"{value.protocol}/{value.number}"
    name = getattr(value, "name", None)
    return name if isinstance(name, str) else str(value)


def _spoken(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ")


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """TimeoutError in the main thread after so many seconds; no limit elsewhere (signals arrive only there)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"it took more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _without_environment(*names: str) -> Iterator[None]:
    """pytest takes options from the environment; those of whoever started the runner are none of ours."""
    taken = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(taken)
