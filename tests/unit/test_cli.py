"""The command as people and CI meet it: exit codes, words, JSON, completion. What it calls has tests of its own."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from pyinfra.api.exceptions import InventoryError

from deploy.cli import lienxa, machines, runs, status
from deploy.cli.group import VERBS
from deploy.cli.guard import guarded
from deploy.fleet.adopt import FirstContact
from deploy.fleet.links import LinkError, Trouble
from deploy.fleet.patience import Patience
from deploy.fleet.ship import Job
from deploy.fleet.trust import Found, HostKey
from deploy.fleet.updates import Listener, State, Update
from deploy.journal import CheckEnded, OperationEnded, RunEnded, RunStarted
from deploy.lab.rehearsal import TINH
from deploy.probes import Outside
from deploy.stock.connector import split_name
from deploy.target import not_probed, open_target, requests, vantage_points

AT = "2026-11-24T22:03:27.000Z"
SLUG = "chu-prong"


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real thing, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an identity and `inventories/` with one commune, as `lienxa new` makes them."""
    home = tmp_path_factory.mktemp("home")
    inventories = home / "inventories"
    arguments = ("new", "chu prong", "--province", "gia lai", "--inventories", str(inventories))
    done = command(*arguments, HOME=str(home), XDG_CONFIG_HOME="", LIENXA_IDENTITY="")
    assert done.returncode == 0, done.stderr
    return home


@pytest.fixture
def inventories(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to write in."""
    home = tmp_path / "home"
    shutil.copytree(made, home)
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "LIENXA_IDENTITY", "LIENXA_LAB"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LIENXA_INVENTORIES", str(home / "inventories"))
    return home / "inventories"


def run(*arguments: str, **more: Any) -> Result:
    """In this process, where parts can be replaced."""
    return CliRunner().invoke(lienxa, arguments, catch_exceptions=False, **more)


def last_line(result: Result) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return line


# Exit codes and errors, in a process of their own


def test_check_of_what_new_made(inventories: Path) -> None:
    done = command("check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "1 commune, 6 machines: all is well."


def test_mistakes_are_said_with_file_and_line_and_end_with_2(inventories: Path) -> None:
    file = inventories / SLUG / "commune.yaml"
    file.write_text(file.read_text().replace("kind: office", "kind: ofice"))
    done = command("check")
    assert done.returncode == 2
    assert f"{file}:" in done.stderr
    assert "did you mean 'office'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("chek",), "No such command 'chek'"),
        (("check", "chu-pron"), "Did you mean chu-prong?"),
        (("check", "--inventories", "/nowhere"), "/nowhere: there is no such folder"),
        (("check", "--explain", "base"), "--explain needs the commune"),
        (("check", SLUG, "--explain", "nothing"), "there is nothing at 'nothing' to explain"),
        (("plan", SLUG, "--machine", "gw9"), "there is no machine 'gw9'; there is: gw1, srv1"),
        (("apply", SLUG, "--role", "netwrok"), "there is no role 'netwrok'; there is: cache, base"),
        (("apply",), "Missing argument 'COMMUNE'"),
        (("new", "xa khong co"), "xa khong co"),
        (("secrets", "show", SLUG, "base.nothing"), "has no base.nothing"),
        (("lab", "up", "chu-pron"), "there is no commune 'chu-pron'"),
    ],
)
def test_bad_input_ends_with_2_and_no_traceback(inventories: Path, arguments: tuple[str, ...], words: str) -> None:
    done = command(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_check_imports_nothing_heavy(inventories: Path) -> None:
    script = (
        "import sys\nfrom deploy.cli import lienxa\nlienxa.main(['check'], standalone_mode=False)\n"
        "print(sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    for heavy in (
        "rich",
        "pyinfra",
        "paramiko",
        "vietnam_provinces",
        "jinja2",
        "gevent",
        "deploy.journal",
        "deploy.lab",
    ):
        assert f"'{heavy}'" not in done.stderr


def _breaks() -> None:
    raise RuntimeError("boom\nwith more")


def _is_interrupted() -> None:
    raise KeyboardInterrupt


def test_a_bug_is_one_sentence_and_a_private_file(
    inventories: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["lienxa"])
    assert guarded(click.Command("x", callback=_breaks)) == 1
    said = capsys.readouterr().err
    assert said.startswith("lienxa broke: RuntimeError: boom\nThis is a bug.")
    assert "Traceback" not in said
    (file,) = (Path.home() / ".cache" / "lienxa" / "crash").iterdir()
    assert str(file) in said
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "in _breaks" in file.read_text()


def test_interrupted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["lienxa"])
    assert guarded(click.Command("x", callback=_is_interrupted)) == 130
    assert "Interrupted." in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_error(inventories: Path) -> None:
    done = subprocess.run(
        f"set -o pipefail; {sys.executable} -m deploy.cli --help | true",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


# check, explain, schema


def test_check_as_json(inventories: Path) -> None:
    result = run("check", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines[-1] == {"event": "summary", "verb": "check", "communes": 1, "machines": 6, "problems": 0}
    assert {line["event"] for line in lines[:-1]} == {"note"}


def test_problems_as_json(inventories: Path) -> None:
    (inventories / SLUG / "commune.yaml").write_text("commune: [\n")
    result = run("check", "--json")
    assert result.exit_code == 2
    first = json.loads(result.stdout.splitlines()[0])
    assert first["event"] == "problem"
    assert first["file"].endswith("commune.yaml")
    assert first["line"] >= 1
    assert last_line(result)["problems"] >= 1


def test_check_writes_the_addresses_when_asked(inventories: Path) -> None:
    file = inventories / SLUG / "addresses.yaml"
    file.unlink()
    assert f"lienxa check {SLUG} --write" in run("check").stdout
    assert not file.exists()
    run("check", "--write")
    assert "vp01: 10." in file.read_text()
    assert "not on record" not in run("check").stdout


def test_explain(inventories: Path) -> None:
    assert run("check", SLUG, "--explain", "base.timezone").stdout == (
        "base.timezone = Asia/Ho_Chi_Minh: default of role base\n"
    )


def test_schemas_are_written_and_found_stale(inventories: Path) -> None:
    assert run("schema", "--check").exit_code == 0, "new wrote them: its files name them"
    file = inventories / "schema" / "commune.json"
    file.write_text(file.read_text() + " ")
    result = run("schema", "--check")
    assert result.exit_code == 1
    assert f"{file} is stale" in result.stderr
    assert run("schema").exit_code == 0
    assert run("schema", "--check").exit_code == 0


# secrets


def test_secrets_are_set_shown_and_generated(inventories: Path) -> None:
    assert run("secrets", "set", SLUG, "network.pppoe_fibre", input="mật khẩu\n").exit_code == 0
    assert run("secrets", "show", SLUG, "network.pppoe_fibre").stdout == "mật khẩu\n"
    text = (inventories / SLUG / "secrets.yaml").read_text()
    assert "mật khẩu" not in text
    assert "nothing was missing" in run("secrets", "generate", SLUG).stdout
    assert "2 values sealed anew" in run("secrets", "rekey", SLUG).stdout
    assert run("secrets", "show", SLUG, "network.pppoe_fibre").stdout == "mật khẩu\n"


def test_secrets_are_edited(inventories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("secrets", "set", SLUG, "network.pppoe_fibre", input="old")
    monkeypatch.setenv("EDITOR", "sed -i s/old/new/")
    monkeypatch.delenv("VISUAL", raising=False)
    assert "1 value changed, 0 removed" in run("secrets", "edit", SLUG).stdout
    assert run("secrets", "show", SLUG, "network.pppoe_fibre").stdout == "new\n"


# plan, apply, verify: the fleet is played by updates that it might give


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Job]]:
    """Play these updates instead of working; gives the jobs that were asked for."""

    def play(*updates: Update, error: type[BaseException] | None = None) -> list[Job]:
        jobs: list[Job] = []

        def run_fleet(
            asked: Sequence[Job], access: object, listener: Listener, kits: object, patience: Patience | None = None
        ) -> None:
            jobs.extend(asked)
            for update in updates:
                listener(update)
            if error:
                raise error

        monkeypatch.setattr(runs, "run_fleet", run_fleet)
        monkeypatch.setattr(runs, "cache_in_use", lambda *, offline: nullcontext(3128))
        return jobs

    return play


def done(machine: str, **counts: int) -> Update:
    return Update(machine, State.DONE, RunEnded(seq=9, at=AT, status="done", seconds=1, **counts))


def check_ended(machine: str, status: Any) -> Update:
    event = CheckEnded(seq=1, at=AT, role="network", id="x", sentence="gw1 forwards.", status=status, seconds=0.1)
    return Update(machine, State.RUNNING, event)


MACHINES = ("gw1", "srv1", "vp01", "mc01", "hop1")


def test_apply_asks_every_machine_and_sums_up(inventories: Path, fleet: Callable[..., list[Job]]) -> None:
    operation = OperationEnded(seq=1, at=AT, role="base", name="x", status="unchanged", seconds=0.1)
    jobs = fleet(Update("gw1", State.RUNNING, operation), *(done(name) for name in MACHINES))
    result = run("apply", SLUG, "--json")
    assert result.exit_code == 0
    assert [job.machine for job in jobs] == list(MACHINES)
    assert {job.request.action for job in jobs} == {"apply"}
    assert {job.package_port for job in jobs} == {3128}
    assert {job.request.package_proxy for job in jobs} == {"http://127.0.0.1:13142"}
    assert len({job.request.run for job in jobs}) == len(jobs)
    line = last_line(result)
    assert line.pop("seconds") >= 0
    assert line == {
        "event": "summary",
        "verb": "apply",
        "commune": SLUG,
        "machines": 5,
        "operations": 1,
        "changed": 0,
        "failed": 0,
        "unreachable": 0,
        "held_back": 0,
    }
    assert '"changed": 0, "failed": 0' in result.stdout.splitlines()[-1]


def test_only_the_machines_and_roles_named(inventories: Path, fleet: Callable[..., list[Job]]) -> None:
    jobs = fleet(done("vp01"), done("srv1"))
    run("apply", SLUG, "-m", "vp01", "-m", "srv1", "--role", "base")
    assert {job.machine for job in jobs} == {"vp01", "srv1"}
    assert {job.request.only_roles for job in jobs} == {("base",)}


def test_apply_records_addresses_first(inventories: Path, fleet: Callable[..., list[Job]]) -> None:
    fleet(done("gw1"))
    (inventories / SLUG / "addresses.yaml").unlink()
    result = run("apply", SLUG)
    assert (inventories / SLUG / "addresses.yaml").exists()
    assert "new addresses recorded; commit it" in result.stderr


def test_plan_changes_and_fetches_nothing(inventories: Path, fleet: Callable[..., list[Job]]) -> None:
    jobs = fleet(*(done(name) for name in MACHINES))
    (inventories / SLUG / "addresses.yaml").unlink()
    assert run("plan", SLUG).exit_code == 0
    assert {job.package_port for job in jobs} == {None}
    assert not (inventories / SLUG / "addresses.yaml").exists()


@pytest.mark.parametrize(
    ("update", "code"),
    [
        (Update("gw1", State.FAILED, None, "gw1: no room"), 1),
        (Update("gw1", State.UNREACHABLE, None, "no answer"), 3),
    ],
)
def test_exit_codes_of_runs(inventories: Path, fleet: Callable[..., list[Job]], update: Update, code: int) -> None:
    fleet(update, *(done(name) for name in MACHINES[1:]))
    result = run("apply", SLUG)
    assert result.exit_code == code
    assert update.message in result.stdout


def test_interrupted_run_says_that_machines_go_on(inventories: Path, fleet: Callable[..., list[Job]]) -> None:
    fleet(error=KeyboardInterrupt)
    result = run("apply", SLUG)
    assert "its run goes on there" in result.stderr
    assert f"lienxa status {SLUG}" in result.stderr


def test_verify_writes_reports_and_names_blind_zones(
    inventories: Path, fleet: Callable[..., list[Job]], tmp_path: Path
) -> None:
    fleet(check_ended("gw1", "failed"), *(done(name) for name in MACHINES))
    junit, html = tmp_path / "v.xml", tmp_path / "v.html"
    result = run("verify", SLUG, "--junit", str(junit), "--html", str(html), "--json")
    assert result.exit_code == 1
    assert "gw1 forwards." in junit.read_text()
    assert "gw1 forwards." in html.read_text()
    notes = [json.loads(line) for line in result.stdout.splitlines() if '"event": "note"' in line]
    assert "not probed from zone wireless: no machine of ours stands there" in [note["text"] for note in notes]
    assert (last_line(result)["checks"], last_line(result)["failed"], last_line(result)["skipped"]) == (1, 1, 0)


def test_a_broken_link_to_podman_is_no_traceback(
    inventories: Path, fleet: Callable[..., list[Job]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet()
    monkeypatch.setattr("deploy.lab.status", lambda slug: ())
    result = run("apply", SLUG, "--lab")
    assert result.exit_code == 3
    assert result.stderr == f"the lab of {SLUG} is down; lienxa lab up {SLUG}\n"


# The target in the lab


def test_vantage_points_only_probe_and_exist_in_the_lab_alone(inventories: Path) -> None:
    field, lab = (open_target(inventories, SLUG, lab=lab) for lab in (False, True))
    assert vantage_points(field) == {}
    assert vantage_points(lab) == {"in01": "office", TINH: Outside(IPv4Address("100.64.0.1"), {"gw1": "100.64.0.10"})}
    sent = requests(lab, "verify")
    assert set(sent) == {*MACHINES, "in01", TINH}
    for name in ("in01", TINH):
        assert sent[name].order.roles == ()
        assert sent[name].order.secrets == {}
        assert sent[name].probes
    # Neither a printer nor the province outside the support's networks may reach SSH.
    for name in ("in01", TINH):
        assert {probe.expect for probe in sent[name].probes if probe.port == 22} == {"refused"}
    assert set(requests(lab, "apply")) == set(MACHINES)


def test_zones_without_a_machine_are_named(inventories: Path) -> None:
    field = open_target(inventories, SLUG, lab=False)
    blind = {note.split(":")[0].removeprefix("not probed from ") for note in not_probed(field, MACHINES)}
    standing = {field.site.machine(name).zone for name in MACHINES[1:]}
    assert blind == {"outside"} | {f"zone {zone.name}" for zone in field.site.zones if zone.name not in standing}
    assert "zone wireless" in blind


def test_lab_has_secrets_of_its_own(inventories: Path) -> None:
    field, lab = (open_target(inventories, SLUG, lab=lab).orders()["gw1"].secrets for lab in (False, True))
    assert field.keys() == lab.keys() != set()
    assert not set(field.values()) & set(lab.values())
    assert open_target(inventories, SLUG, lab=True).orders()["gw1"].secrets == lab


# status


def journal_ends(order: str, machine: str, status_: str = "done") -> dict[str, Any]:
    first = RunStarted(
        seq=0,
        at=AT,
        run="20261124T220327417-9f3c",
        machine=machine,
        action="apply",
        by="an@laptop",
        commit="0" * 40,
        clean=True,
        order=order,
        debian="13",
        python="3.13",
    )
    last = RunEnded(seq=1, at=AT, status=status_, seconds=1)  # type: ignore[arg-type]
    return {"first": first.model_dump(mode="json"), "last": last.model_dump(mode="json")}


def test_status_says_drift_and_who(inventories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = open_target(inventories, SLUG, lab=False).orders()

    def ask(links: object, machine: str, runs: int) -> dict[str, Any]:
        if machine == "hop1":
            raise LinkError(machine, Trouble.UNREACHABLE, "hop1: no answer")
        if machine == "mc01":
            return {"runs": []}
        digest = orders[machine].digest if machine != "vp01" else "0" * 64
        return {"runs": [journal_ends(digest, machine)], "running": False}

    monkeypatch.setattr(status, "ask_status", ask)
    result = run("status", SLUG, "--json")
    assert result.exit_code == 3
    lines = {line["machine"]: line for line in map(json.loads, result.stdout.splitlines()[:-1])}
    assert {name: lines[name]["drift"] for name in MACHINES} == {
        "gw1": False,
        "srv1": False,
        "vp01": True,
        "mc01": None,
        "hop1": None,
    }
    assert lines["gw1"]["by"] == "an@laptop"
    assert lines["gw1"]["result"] == "done"
    assert lines["hop1"]["message"] == "hop1: no answer"
    summary = last_line(result)
    assert (summary["unreachable"], summary["drift"]) == (1, 1)
    table = run("status", SLUG).stdout
    assert "another order: apply" in table
    assert "never applied: apply" in table


def test_failed_does_only_what_is_left(
    inventories: Path, fleet: Callable[..., list[Job]], monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = open_target(inventories, SLUG, lab=False).orders()
    left: dict[str, dict[str, Any]] = {
        "srv1": {"runs": [journal_ends(orders["srv1"].digest, "srv1", "failed")]},
        "vp01": {"runs": [journal_ends("0" * 64, "vp01")], "state": {"order": "0" * 64}},  # another order since
        "mc01": {"runs": []},
    }

    def ask(links: object, machine: str, runs: int) -> dict[str, Any]:
        if machine == "hop1":
            raise LinkError(machine, Trouble.UNREACHABLE, "hop1: no answer")
        good = {"runs": [journal_ends(orders[machine].digest, machine)], "state": {"order": orders[machine].digest}}
        return left.get(machine, good)

    monkeypatch.setattr(status, "ask_status", ask)
    jobs = fleet(done("srv1"))
    run("apply", SLUG, "--failed")
    assert [job.machine for job in jobs] == ["srv1", "vp01", "mc01", "hop1"]
    result = run("apply", SLUG, "--failed", "-m", "gw1")
    assert result.exit_code == 0
    assert "nothing is left to do" in result.stdout


# trust and adopt: the fleet's part has tests of its own

KEY, OTHER = HostKey("ssh-ed25519", "AAAA"), HostKey("ssh-ed25519", "BBBB")


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the machines show these keys."""

    def show(*found: Found) -> None:
        monkeypatch.setattr(machines.host_keys, "scan", lambda *_: {each.machine: each for each in found})

    return show


def test_trust_asks_before_it_records(inventories: Path, scanned: Callable[..., None]) -> None:
    scanned(Found("gw1", (), KEY), Found("srv1", (KEY,), KEY))
    known_hosts = inventories / SLUG / "known_hosts"
    assert run("trust", SLUG, input="n\n").exit_code == 1
    assert not known_hosts.exists()
    result = run("trust", SLUG, input="y\n")
    assert result.exit_code == 0
    assert f"gw1: {KEY} (new)" in result.stdout
    assert f"srv1: {KEY} (on record)" in result.stdout
    assert known_hosts.read_text() == "gw1 ssh-ed25519 AAAA\n"


def test_trust_refuses_a_changed_key_unless_it_replaces(inventories: Path, scanned: Callable[..., None]) -> None:
    scanned(Found("gw1", (KEY,), OTHER))
    result = run("trust", SLUG, "--yes")
    assert result.exit_code == 1
    assert f"lienxa trust {SLUG} --replace gw1" in result.stderr
    assert not (inventories / SLUG / "known_hosts").exists()
    assert run("trust", SLUG, "--replace", "gw1", "--yes").exit_code == 0
    assert (inventories / SLUG / "known_hosts").read_text() == "gw1 ssh-ed25519 BBBB\n"


def test_trust_of_a_machine_out_of_reach(inventories: Path, scanned: Callable[..., None]) -> None:
    scanned(Found("gw1", (), None, "gw1: no answer"))
    result = run("trust", SLUG)
    assert (result.exit_code, result.stdout) == (3, "gw1: no answer\n")
    assert not (inventories / SLUG / "known_hosts").exists()


def test_adopt_asks_for_passwords_and_never_shows_them(inventories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contacts: list[FirstContact] = []
    monkeypatch.setattr(machines, "take_over", lambda access, machine, first, *_, **__: contacts.append(first))
    monkeypatch.setattr(machines, "ensure_cache", lambda: 3128)
    result = run("adopt", SLUG, "vp01", "--user", "an", "--su", input="one\ntwo\n")
    assert result.exit_code == 0
    assert contacts == [FirstContact("an", "one", "two")]
    assert "one" not in result.output.replace("none", "")
    assert f"Next: lienxa apply {SLUG} --machine vp01" in result.stdout
    run("adopt", SLUG, "vp01", "--key")
    assert contacts[-1] == FirstContact("root")


# The stock pyinfra command


@pytest.mark.parametrize(
    ("name", "environment", "expected"),
    [("x", "", ("x", False)), ("x:lab", "", ("x", True)), ("x", "1", ("x", True)), ("x", "0", ("x", False))],
)
def test_names_of_the_stock_connector(
    name: str, environment: str, expected: tuple[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIENXA_LAB", environment)
    assert split_name(name) == expected


@pytest.mark.parametrize("name", ["", ":lab", "x:field"])
def test_bad_names_of_the_stock_connector(name: str) -> None:
    with pytest.raises(InventoryError, match="write @lienxa/COMMUNE"):
        split_name(name)


def test_stock_pyinfra_knows_every_managed_machine_and_no_secret(inventories: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("pyinfra")), f"@lienxa/{SLUG}", "debug-inventory"],
        capture_output=True,
        text=True,
        check=False,
        cwd=inventories,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert all(name in said for name in MACHINES)
    assert "in01" not in said
    assert "role_network" in said
    for value in open_target(inventories, SLUG, lab=False).orders()["gw1"].secrets.values():
        assert value not in said


# Completion


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("lienxa che", ["plain,check"]),
        ("lienxa check ", [f"plain,{SLUG}"]),
        ("lienxa lab ", ["plain,up", "plain,down", "plain,shell", "plain,status"]),
        ("lienxa verify x --jun", ["plain,--junit"]),
    ],
)
def test_completion(inventories: Path, words: str, expected: list[str]) -> None:
    number = str(len(words.split(" ")) - 1)
    got = command(_LIENXA_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=number)
    assert sorted(got.stdout.split()) == sorted(expected)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_LIENXA_COMPLETE" in result.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    result = run(verb, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: lienxa {verb}")


def test_version() -> None:
    assert run("--version").stdout.startswith("lienxa 0.")
