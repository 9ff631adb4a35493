"""How a guard decides; that it really puts machines back is shown in tests/lab/test_lockouts.py."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.runner import guard

NOTHING: guard.State = {
    "user": "hotro",
    "files": {},
    "account": {"lines": {}, "groups": []},
    "rules": "",
    "units": {},
    "links": {},
    "addresses": {},
    "routes": {},
    "policies": [],
    "kernel": {},
}


class Machine:
    """Stands in for what the guard looks at and does."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.now = NOTHING
        self.uptime = 1000.0
        self.boot = "first"
        self.alive = True
        self.new_connection = True
        self.goes_down = False
        self.left: list[str] = []
        self.restored: list[guard.State] = []

    def restore(self, before: guard.State) -> list[str]:
        self.restored.append(before)
        return self.left

    def arm(self, phase: str = "working", **fields: Any) -> Path:
        folder = self.base / "run-1"
        folder.mkdir()
        (folder / "before.json").write_text(json.dumps(NOTHING))
        status = {"phase": phase, "boot": "first", "pid": 7, "began": 1.0, "user": "hotro"}
        guard.write_status(folder, status | fields)
        return folder

    def watch(self) -> None:
        for folder in sorted(self.base.glob("*/")):
            guard._watch_one(folder, {})


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setattr(guard, "look", lambda user: made.now)
    monkeypatch.setattr(guard, "restore", made.restore)
    monkeypatch.setattr(guard, "_uptime", lambda: made.uptime)
    monkeypatch.setattr(guard, "_boot", lambda: made.boot)
    monkeypatch.setattr(guard, "_began", lambda pid: 1.0 if made.alive else None)
    monkeypatch.setattr(guard, "_is_new_connection", lambda since: made.new_connection)
    monkeypatch.setattr(guard, "goes_down", lambda: made.goes_down)
    return made


def test_while_the_machine_goes_down_nothing_is_put_back_but_after_it(machine: Machine) -> None:
    folder = machine.arm("waiting", since=900.0, deadline=940.0)
    machine.goes_down = True
    machine.watch()
    assert machine.restored == []
    machine.goes_down, machine.boot = False, "second"
    machine.watch()
    assert machine.restored == [NOTHING]
    assert "started again" in guard.read_status(folder)["reason"]


def test_it_needs_no_kit() -> None:
    tree = ast.parse(Path(guard.__file__).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_while_the_run_works_nothing_is_put_back(machine: Machine) -> None:
    folder = machine.arm()
    machine.now = NOTHING | {"rules": "drop"}
    machine.watch()
    assert (folder / "watched").exists()
    assert machine.restored == []


def test_nobody_came_in_time(machine: Machine) -> None:
    folder = machine.arm()
    guard.ask(folder, 40)
    machine.uptime += 39.9
    machine.watch()
    assert machine.restored == []
    machine.uptime += 0.2
    machine.watch()
    assert machine.restored == [NOTHING]
    assert [status["reason"] for _, status in guard.rolled_back(machine.base)] == [
        "nobody got in over a new connection within 40 s"
    ]
    assert not (folder / "before.json").exists()


def test_confirmed_in_time_it_stays(machine: Machine) -> None:
    folder = machine.arm()
    assert guard.confirm(folder) == {"confirmed": False, "phase": "working"}
    guard.ask(folder, 40)
    machine.new_connection = False
    assert guard.confirm(folder)["why"] == "this is no new connection"
    machine.new_connection = True
    assert guard.confirm(folder)["confirmed"]
    assert guard.confirm(folder)["confirmed"], "asked again, as after a line that dropped"
    machine.uptime += 100
    machine.watch()
    assert machine.restored == []
    assert not (folder / "before.json").exists()


def test_too_late_is_too_late(machine: Machine) -> None:
    folder = machine.arm()
    guard.ask(folder, 1)
    machine.uptime += 2
    machine.watch()
    assert guard.confirm(folder) == {"confirmed": False, "phase": "rolled_back"}
    guard.forget(folder)
    assert guard.confirm(folder) == {"confirmed": False, "phase": "gone"}


@pytest.mark.parametrize("phase", ["working", "waiting"])
def test_another_boot_puts_it_back(machine: Machine, phase: str) -> None:
    machine.arm(phase, since=990.0, deadline=1030.0)
    machine.boot = "second"
    machine.watch()
    ((_, status),) = guard.rolled_back(machine.base)
    assert "started again" in status["reason"]


def test_a_run_that_died_after_a_change_is_put_back(machine: Machine) -> None:
    machine.arm()
    machine.alive = False
    machine.now = NOTHING | {"rules": "drop"}
    machine.left = ["route -4 unicast default"]
    machine.watch()
    ((_, status),) = guard.rolled_back(machine.base)
    assert "cut off in the middle" in status["reason"]
    assert status["left"] == ["route -4 unicast default"]


def test_a_run_that_died_before_a_change_leaves_nothing(machine: Machine) -> None:
    folder = machine.arm()
    machine.alive = False
    machine.watch()
    assert machine.restored == []
    assert not folder.exists()


def test_a_role_that_never_ends_is_put_back(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.arm()
    machine.now = NOTHING | {"rules": "drop"}
    monkeypatch.setattr(guard, "_LOOK_SECONDS", -1.0)
    machine.watch()
    machine.uptime += guard.WORK_SECONDS - 1
    machine.watch()
    assert machine.restored == []
    machine.uptime += 2
    machine.watch()
    assert machine.restored == [NOTHING]


def test_condemned_or_cut_off_while_putting_back_it_is_put_back(machine: Machine) -> None:
    folder = machine.arm()
    guard.condemn(folder, "vp01 does not answer")
    assert guard.undecided(machine.base)
    machine.watch()
    assert machine.restored == [NOTHING]
    assert not guard.undecided(machine.base)
    assert not guard.release(folder), "too late"
    guard.forget(folder)
    machine.arm("rolling_back", reason="x")
    machine.boot = "second"
    machine.watch()
    assert len(machine.restored) == 2


def test_differences_are_said_in_words() -> None:
    now = NOTHING | {
        "files": {"/etc/ssh/sshd_config.d/00-lienxa.conf": ["file", [0o644, 0, 0], "eA=="]},
        "account": {"lines": {"passwd:hotro": None}, "groups": []},
        "rules": "table inet lienxa",
        "units": {"ssh.service": ["enabled", "off"]},
        "links": {"br0": {"up": True, "master": None, "mtu": 1500, "kind": "bridge"}},
        "addresses": {"wan0 10.9.7.2/24": {}},
        "policies": [{"priority": 10}],
    }
    before = NOTHING | {"routes": {"-4 unicast default gateway 10.9.0.1 dev wan0": {}}}
    assert guard.differences(before, now) == [
        "/etc/ssh/sshd_config.d/00-lienxa.conf",
        "account hotro",
        "nftables rules",
        "unit ssh.service",
        "link br0",
        "address wan0 10.9.7.2/24 is new",
        "route -4 unicast default gateway 10.9.0.1 dev wan0 is gone",
        "routing rules",
    ]
    assert guard.differences(now, now) == []


def test_files_go_back_with_owner_mode_and_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "network"
    folder.mkdir()
    (folder / "a.network").write_text("một")
    (folder / "a.network").chmod(0o640)
    (folder / "b.network").symlink_to("a.network")
    monkeypatch.setattr(guard, "TREES", (str(folder), str(tmp_path / "nologin")))
    before = NOTHING | {"user": "nobody-of-this-name", "files": guard._files("nobody-of-this-name")}
    (folder / "a.network").unlink()
    (folder / "a.network").mkdir()
    (folder / "b.network").unlink()
    (folder / "b.network").write_text("hai")
    (folder / "c.network").write_text("ba")
    (tmp_path / "nologin").touch()
    guard._restore_files(before, [])
    assert guard._files("nobody-of-this-name") == before["files"]
    assert not (tmp_path / "nologin").exists()


def test_what_a_package_brought_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "nftables.conf"
    monkeypatch.setattr(guard, "TREES", (str(file),))
    file.write_text("flush ruleset\n")
    now = NOTHING | {"files": guard._files("nobody-of-this-name")}
    assert guard.differences(NOTHING, now) == [str(file)]
    monkeypatch.setattr(guard, "_conffiles", lambda: {str(file): "b5ac5f0b3ef4e5ac0bcd2b23fb68b6d8"})
    assert guard.differences(NOTHING, now) == [str(file)], "it was changed since"
    monkeypatch.setattr(guard, "_conffiles", lambda: {str(file): _md5(file)})
    assert guard.differences(NOTHING, now) == []


def _md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()
