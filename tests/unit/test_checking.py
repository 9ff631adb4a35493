"""Checks run on the machine: derived from the cards, written by roles, skipped where their base is red."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from unittest import mock

import pytest

from deploy.inventory.role import Options, Role, Unit
from deploy.journal import CheckEnded, RoleStarted, parse_event
from deploy.order import RoleOrder
from deploy.probes import Probe
from deploy.runner import check_session
from deploy.runner.check_result import CheckResult, Ledger
from deploy.runner.checking import run_checks
from deploy.runner.derived_checks import (
    MachineState,
    UnitState,
    derived,
    parse_packages,
    parse_sockets,
    parse_units,
    read_state,
)
from deploy.runner.journal_writer import Counts, JournalError, JournalWriter
from tests.unit.verify_data import NETWORK, PORTS, NetworkOptions, request_for

RUNS = UnitState("loaded", "active", "running", "enabled")
GOOD = MachineState(
    packages={"unbound": "installed", "chrony": "installed"},
    units={"unbound.service": RUNS, "chrony.service": RUNS},
    sockets=parse_sockets("udp UNCONN 0 0 0.0.0.0:53 0.0.0.0:*\nudp UNCONN 0 0 [::]:123 [::]:*"),
)


def run_module(tmp_path: Path, source: str, role: Role | None = None, **options: object) -> list[CheckEnded]:
    """What the journal says after the checks of one role's module."""
    module = tmp_path / "roles" / "trial" / "checks.py"
    module.parent.mkdir(parents=True, exist_ok=True)
    module.write_text(textwrap.dedent(source), encoding="utf-8")
    card = role or Role(name="trial", summary="A trial.", options=NetworkOptions)
    request = request_for(roles=(RoleOrder(name="trial", options=dict(options)),))
    journal = JournalWriter(tmp_path / "run.jsonl")
    counts = run_checks(request, journal, {"trial": card}, lambda _role: module)
    journal.close()
    for name in [name for name, loaded in sys.modules.items() if getattr(loaded, "__file__", None) == str(module)]:
        del sys.modules[name]  # the next test's module has the same name
    events = [parse_event(line) for line in journal.path.read_bytes().splitlines()]
    checks = [event for event in events if isinstance(event, CheckEnded)]
    assert counts == Counts(
        checks=len(checks),
        failed=sum(check.status in {"failed", "error"} for check in checks),
        skipped=sum(check.status == "skipped" for check in checks),
    )
    assert isinstance(events[0], RoleStarted)
    return checks


def test_a_check_is_a_sentence_with_the_machine_and_its_cases(tmp_path: Path) -> None:
    checks = run_module(
        tmp_path,
        '''
        from deploy.runner.checking import each

        @each(lambda site, machine, options: [*site.machines, *options.blocked])
        def test_named(case):
            """{machine} knows {case}."""

        @each(lambda site, machine, options: [(zone, zone.network) for zone in site.zones])
        def test_pair(host, zone, network, machine, options):
            """{machine} is in {zone.name} of {site.domain}, {network}."""
            assert host.check_output("echo %s", machine.name) == "gw1"
            assert options.blocked == ("cấm.vn",)

        @each(lambda site, machine, options: [])
        def test_no_case(case):
            """Never seen."""
        ''',
        blocked=["cấm.vn"],
    )
    assert [(check.id, check.status) for check in checks] == [
        ("trial.test_named[gw1]", "passed"),
        ("trial.test_named[cấm.vn]", "passed"),
        ("trial.test_pair[office-10.52.0.0/25]", "passed"),
    ]
    assert checks[1].sentence == "gw1 knows cấm.vn."
    assert checks[2].sentence == "gw1 is in office of xamau.gialai.gov.vn, 10.52.0.0/25."
    assert all(check.next_step == "" for check in checks)


def test_a_red_check_says_what_was_found_and_what_to_do(tmp_path: Path) -> None:
    checks = run_module(
        tmp_path,
        '''
        import pytest

        @pytest.mark.next_step("Look at {name} on {machine}.")
        @pytest.mark.parametrize("name", ["a"])
        def test_values(name):
            """{machine} has both."""
            assert {"a": 1} == {"a": 2}, "the numbers differ"

        def test_default_step(host):
            """It answers."""
            assert host.run("echo no; exit 3").rc == 0

        def test_breaks():
            """It does not break."""
            {}["missing"]

        def test_says_itself():
            """It is wanted."""
            pytest.skip("not in a lab")
        ''',
    )
    values, default, breaks, skipped = checks
    assert (values.status, values.next_step) == ("failed", "Look at a on gw1.")
    assert "the numbers differ" in values.detail
    assert "{'a': 1} != {'a': 2}" in values.detail
    assert (default.status, default.next_step) == (
        "failed",
        "`lienxa apply xa-mau --machine gw1 --role trial` puts the role right again.",
    )
    assert "exit_status=3" in default.detail
    assert (breaks.status, breaks.detail) == ("error", "KeyError: 'missing' (at checks.py:16)")
    assert (skipped.status, skipped.detail, skipped.next_step) == ("skipped", "not in a lab", "")


def test_dependents_of_a_red_check_are_skipped_with_the_first_cause(tmp_path: Path) -> None:
    absent = Unit("lienxa-no-such-unit", "a trial")
    checks = run_module(
        tmp_path,
        '''
        import pytest

        @pytest.mark.needs("unit:lienxa-no-such-unit.service")
        def test_first():
            """First."""
            assert False

        @pytest.mark.needs("trial.test_first")
        def test_second():
            """Second."""
            assert False

        def test_free():
            """Free."""
        ''',
        role=Role(name="trial", summary="A trial.", options=NetworkOptions, units=(absent,)),
    )
    unit, first, second, free = checks
    assert unit.status in {"failed", "error"}  # error: a container without systemd
    assert first.detail == second.detail == f"skipped because this is not so: {unit.sentence}"
    assert (first.status, second.status, free.status) == ("skipped", "skipped", "passed")


def test_a_module_that_cannot_be_loaded_is_a_check_that_broke(tmp_path: Path) -> None:
    (check,) = run_module(tmp_path, "import no_such_module_of_lienxa\n")
    assert (check.id, check.status) == ("trial.checks", "error")
    assert "no_such_module_of_lienxa" in check.detail


def test_a_check_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_session, "LIMIT", 0.05)
    source = """
        import threading

        def test_hangs():
            '''It ends.'''
            threading.Event().wait()

        def test_next():
            '''The next one is made.'''
        """
    hung, after = run_module(tmp_path, source)
    assert (hung.status, after.status) == ("error", "passed")
    assert hung.detail.startswith("TimeoutError: it took more than 0.05 s")


def test_a_journal_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    module = tmp_path / "checks.py"
    module.write_text("def test_it():\n    pass\n", encoding="utf-8")
    journal = mock.Mock()
    journal.check.side_effect = JournalError("the disk is full")
    card = Role(name="trial", summary="A trial.", options=NetworkOptions)
    request = request_for(roles=(RoleOrder(name="trial", options={}),))
    with pytest.raises(JournalError, match="the disk is full"):
        run_checks(request, journal, {"trial": card}, lambda _role: module)


def test_nothing_of_the_surroundings_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n", encoding="utf-8")
    (tmp_path / "conftest.py").write_text("raise RuntimeError\n", encoding="utf-8")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    monkeypatch.chdir(tmp_path)
    (check,) = run_module(tmp_path, 'def test_it():\n    """It is so."""\n')
    assert check.status == "passed"
    assert os.environ["PYTEST_ADDOPTS"] == "--no-such-option"


def results(state: MachineState) -> dict[str, CheckResult]:
    """The derived checks of the network role as the ledger takes them."""
    written: dict[str, CheckResult] = {}

    class Recorder:
        def role_started(self, role: str, stage: str, total: int | None = None) -> None: ...

        def check(self, role: str, check: str, sentence: str, status: str, **rest: object) -> None:
            written[check] = CheckResult(role, check, sentence, status, **rest)  # type: ignore[arg-type]

    ledger = Ledger(Recorder())
    for result, needs in derived(request_for(), NETWORK, PORTS, state):
        ledger.add(result, needs)
    return written


def test_a_machine_as_its_card_says_is_green() -> None:
    assert {check.id: check.status for check in results(GOOD).values()} == dict.fromkeys(
        ["package:unbound", "package:chrony", "unit:unbound", "unit:chrony", "port:udp/53", "port:udp/123"], "passed"
    )


def test_a_stopped_unit_is_named_with_the_next_step_and_its_port_is_skipped() -> None:
    stopped = UnitState("loaded", "inactive", "dead", "enabled")
    state = MachineState(GOOD.packages, {**GOOD.units, "unbound.service": stopped}, GOOD.sockets[1:])
    made = results(state)
    unit = made["unit:unbound"]
    assert unit.status == "failed"
    assert unit.sentence == "gw1: unit unbound (resolver of the commune) is enabled and running."
    assert unit.detail == "it is inactive (dead)"
    assert unit.next_step == (
        "On gw1: `systemctl status unbound` and `journalctl -u unbound -n 50`; "
        "then `lienxa apply xa-mau --machine gw1 --role network`."
    )
    assert made["port:udp/53"].status == "skipped"
    assert unit.sentence in made["port:udp/53"].detail
    assert made["port:udp/123"].status == "passed"


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        (UnitState("not-found", "inactive", "dead", ""), "systemd knows no such unit"),
        (UnitState("loaded", "active", "running", "disabled"), "it is disabled: it will not start at boot"),
        (UnitState("loaded", "activating", "auto-restart", "enabled"), "it is activating (auto-restart)"),
        (
            UnitState("loaded", "active", "running", "enabled-runtime"),
            "it is enabled-runtime: it will not start at boot",
        ),
    ],
)
def test_a_unit_that_is_not_as_it_should_be(unit: UnitState, said: str) -> None:
    made = results(MachineState(GOOD.packages, {**GOOD.units, "chrony.service": unit}, GOOD.sockets))
    assert (made["unit:chrony"].status, made["unit:chrony"].detail) == ("failed", said)


def test_a_missing_package_skips_all_that_stands_on_it() -> None:
    made = results(MachineState({"chrony": "installed"}, GOOD.units, GOOD.sockets))
    assert made.pop("package:unbound").status == "failed"
    assert made.pop("package:chrony").status == "passed"
    assert {check.status for check in made.values()} == {"skipped"}
    assert {check.detail for check in made.values()} == {
        "skipped because this is not so: gw1: package unbound is installed."
    }


def test_a_port_that_only_the_machine_itself_reaches_is_red() -> None:
    sockets = parse_sockets("udp UNCONN 0 0 127.0.0.1%lo:53 0.0.0.0:*\nudp UNCONN 0 0 *:123 *:*")
    made = results(MachineState(GOOD.packages, GOOD.units, sockets))
    assert made["port:udp/53"].detail == "it is listened on only at 127.0.0.1: no other machine gets there"
    assert made["port:udp/123"].status == "passed"


def test_what_could_not_be_found_out_is_an_error_not_green() -> None:
    made = results(MachineState(GOOD.packages, GOOD.units, GOOD.sockets, {"sockets": "ss did not answer"}))
    assert (made["port:udp/53"].status, made["port:udp/53"].detail) == ("error", "ss did not answer")


def test_answers_of_dpkg_and_systemd_are_read() -> None:
    assert parse_packages("unbound\tinstalled\nold\tconfig-files\n") == {
        "unbound": "installed",
        "old": "config-files",
    }
    text = (
        "Id=chrony.service\nNames=chronyd.service chrony.service\nLoadState=loaded\nActiveState=active\n"
        "SubState=running\nUnitFileState=enabled\n\nId=x.service\nNames=x.service\nLoadState=not-found\n"
        "ActiveState=inactive\nSubState=dead\nUnitFileState=\n"
    )
    units = parse_units(text)
    assert units["chronyd.service"] == units["chrony.service"] == RUNS
    assert units["x.service"].load == "not-found"


def test_the_real_machine_is_asked() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        state = read_state((Role(name="x", summary="", options=Options, packages=("dpkg", "lienxa-no-such")),))
    assert state.packages == {"dpkg": "installed"}
    assert any(s.port == port and s.only_itself for s in state.sockets) or "sockets" in state.unknown


def test_a_vantage_point_needs_neither_pytest_nor_testinfra(tmp_path: Path) -> None:
    """A machine without roles, not even one of the site's: `tinh`, or an official's phone in the lab."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        probe = Probe(
            target="gw1",
            address="127.0.0.1",
            port=port,
            protocol="tcp",
            how="connect",
            expect="refused",
            purpose="SSH",
            role="base",
        )
        request = request_for("tinh", probes=(probe,))
        (tmp_path / "request.json").write_bytes(request.to_bytes())
        script = (
            "import sys\nfrom pathlib import Path\n"
            "from deploy.order import Request\nfrom deploy.runner.checking import run_checks\n"
            "from deploy.runner.journal_writer import JournalWriter\n"
            "request = Request.model_validate_json(Path(sys.argv[1], 'request.json').read_bytes())\n"
            "print(run_checks(request, JournalWriter(Path(sys.argv[1], 'run.jsonl')), {}))\n"
            "assert not {'pytest', 'testinfra', 'pyinfra'} & sys.modules.keys()\n"
        )
        done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "checks=1, failed=1" in done.stdout
    (event,) = [parse_event(line) for line in (tmp_path / "run.jsonl").read_bytes().splitlines()]
    assert isinstance(event, CheckEnded)
    assert event.sentence == f"tinh is refused SSH of gw1: tcp 127.0.0.1:{port}."
    assert event.next_step.startswith("No card opens this port to where tinh stands")
