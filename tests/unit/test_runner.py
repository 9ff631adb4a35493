"""Whole runs on this machine, harmless ones: roles of the test's own that write below tmp_path."""

from __future__ import annotations

import base64
import fcntl
import getpass
import grp
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jinja2 import UndefinedError

from deploy.inventory.role import Options, Role, Secret
from deploy.journal import Event, OperationEnded, OperationError, RoleStarted, RunEnded, RunStarted, parse_event
from deploy.order import Order, Request, RoleOrder
from deploy.runner.context import Context
from deploy.runner.guarding import RolledBackError
from deploy.runner.lock import Holder, lock
from deploy.runner.operations import absent, directory, place
from deploy.runner.pyinfra_api import FactBase, StringCommand, host, operation
from deploy.runner.run import BAD_REQUEST, DONE, FAILED, Paths, Stop, run
from deploy.runner.stages import RoleSource
from deploy.runner.state import read_state
from tests.unit.sample_site import sample_site

ME = getpass.getuser()
MY_GROUP = grp.getgrgid(os.getgid()).gr_name
SECRET = "mat-khau-rat-dai"


class TextOptions(Options):
    text: str = "một\n"


NOTHING = SimpleNamespace(**dict.fromkeys(("install", "configure", "activate", "retire"), lambda ctx: None))


@dataclass
class Box:
    """A machine's places, below a folder of the test's own."""

    folder: Path
    tasks: dict[str, Any] = field(default_factory=dict)
    stop: Stop = field(default_factory=Stop)
    count: int = 0
    guard: Any = None

    @property
    def paths(self) -> Paths:
        return Paths(self.folder / "lasting", self.folder / "fleeting")

    @property
    def file(self) -> Path:
        return self.folder / "etc" / "a.conf"

    def role(self, name: str, **tasks: Callable[[Context], object]) -> None:
        self.tasks[name] = SimpleNamespace(**{**NOTHING.__dict__, **tasks})

    def run(self, action: str = "apply", roles: Mapping[str, str] | None = None, **fields: Any) -> int:
        self.count += 1
        wanted = dict.fromkeys(self.tasks, "một\n") if roles is None else roles
        order = Order(
            machine="gw1",
            site=sample_site(),
            roles=tuple(RoleOrder(name=name, options={"text": text}) for name, text in wanted.items()),
            secrets={"a.password": SECRET},
        )
        request = Request(
            run=f"run-{self.count}", action=action, order=order, by="an@may", commit="c0ffee", clean=True, **fields
        )
        self.paths.fleeting.mkdir(exist_ok=True)
        self.paths.request(request.run).write_bytes(request.to_bytes())
        code = run(request.run, self.source, self.paths, self.stop, (lambda *_: self.guard) if self.guard else None)
        assert not list(self.paths.fleeting.iterdir()), "nothing of a run is left in /run"
        return code

    @property
    def source(self) -> RoleSource:
        cards = {
            name: Role(name, name, TextOptions, version=3, secrets=lambda options, site: (Secret("password", "p"),))
            for name in self.tasks
        }
        return RoleSource(cards, self.tasks.__getitem__)

    @property
    def journal(self) -> str:
        return self.paths.journal(f"run-{self.count}").read_text()

    @property
    def events(self) -> list[Event]:
        events = [parse_event(line) for line in self.journal.splitlines()]
        assert [event.seq for event in events] == list(range(len(events)))
        assert isinstance(events[0], RunStarted)
        assert isinstance(events[-1], RunEnded)
        return events

    @property
    def operations(self) -> list[OperationEnded]:
        return [event for event in self.events if isinstance(event, OperationEnded)]

    @property
    def ended(self) -> RunEnded:
        last = self.events[-1]
        assert isinstance(last, RunEnded)
        return last

    def put(self, ctx: Context, **arguments: Any) -> Any:
        arguments.setdefault("content", ctx.options.text)
        path = arguments.pop("path", str(self.file))
        return place(ctx, path, owner=ME, group=MY_GROUP, **arguments)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_a_plan_says_what_would_change_and_changes_nothing(box: Box) -> None:
    marked = box.folder / "handled"

    def configure(ctx: Context) -> None:
        placed = box.put(ctx)
        _shell(f"touch {marked}", name="Handle", _if=placed.did_change)

    box.role("a", configure=configure)
    assert box.run("plan") == DONE
    assert [(op.role, op.name, op.status) for op in box.operations] == [
        ("a", f"Place {box.file}", "would_change"),
        ("a", "Handle", "would_change"),
    ]
    assert "+một" in box.operations[0].diff
    assert box.ended.changed == 2
    assert not box.file.exists()
    assert not marked.exists()
    assert not box.paths.state.exists()


def test_the_second_apply_changes_nothing(box: Box) -> None:
    box.role("a", configure=box.put)
    assert box.run() == DONE
    assert (box.ended.status, box.ended.operations, box.ended.changed) == ("done", 1, 1)
    assert box.file.read_text() == "một\n"
    written = box.file.stat()
    assert oct(written.st_mode & 0o7777) == "0o644"
    assert box.run() == DONE
    assert (box.ended.operations, box.ended.changed) == (1, 0)
    assert box.operations[0].status == "unchanged"
    assert box.file.stat().st_ino == written.st_ino
    assert box.run(roles={"a": "hai\n"}) == DONE
    assert "-một\n+hai\n" in box.operations[0].diff
    assert [entry.name for entry in box.file.parent.iterdir()] == ["a.conf"]


def test_the_state_says_what_was_applied_by_whom(box: Box) -> None:
    box.role("a", configure=box.put)
    box.run()
    state = read_state(box.paths.state)
    assert (state.roles, state.run, state.by, state.commit, state.clean) == (
        {"a": 3}, "run-1", "an@may", "c0ffee", True,
    )  # fmt: skip
    started = box.events[0]
    assert isinstance(started, RunStarted)
    assert (started.order, started.total) == (state.order, 1)


def test_a_file_that_its_checker_refuses_leaves_the_old_one_and_ends_the_run(box: Box) -> None:
    def configure(ctx: Context) -> None:
        box.put(ctx, validate="echo 'dòng 1: sai' >&2; ! grep sai {}")
        box.put(ctx, path=str(box.folder / "never"))

    box.role("a", configure=configure)
    box.role("b", configure=lambda ctx: directory(str(box.folder / "nor-this"), owner=ME, group=MY_GROUP))
    assert box.run(roles={"a": "đúng\n"}) == DONE
    assert box.run(roles={"a": "sai\n", "b": ""}) == FAILED
    assert box.file.read_text() == "đúng\n"
    assert [entry.name for entry in box.file.parent.iterdir()] == ["a.conf"]
    assert [op.status for op in box.operations] == ["failed"]
    error = box.operations[0].error
    assert error is not None
    assert "refused by its own checker" in error.message
    assert "dòng 1: sai" in error.output
    assert error.next_step
    assert (box.ended.status, box.ended.failed) == ("failed", 1)
    assert not (box.folder / "nor-this").exists()
    # What was begun is remembered, so that it can be retired; the order was not applied.
    state = read_state(box.paths.state)
    assert (state.roles, state.run) == ({"a": 3}, "run-1")


def test_the_checker_sees_the_file_under_its_final_name_and_not_yet_in_place(box: Box) -> None:
    box.role(
        "a", configure=lambda ctx: box.put(ctx, validate=f"basename {{}} | grep -qx a.conf && ! test -e {box.file}")
    )
    assert box.run() == DONE


@pytest.mark.parametrize("content", ["", "không xuống dòng", b"\x00\xff\r\n", "x" * 500_000])
def test_any_content_arrives_byte_for_byte(box: Box, content: str | bytes) -> None:
    box.role("a", configure=lambda ctx: box.put(ctx, content=content))
    assert box.run() == DONE
    assert box.file.read_bytes() == (content.encode() if isinstance(content, str) else content)
    box.run()
    assert box.ended.changed == 0


def test_a_drifted_mode_is_set_right_without_writing_the_file(box: Box) -> None:
    box.role("a", configure=lambda ctx: box.put(ctx, mode="0640"))
    box.run()
    box.file.chmod(0o666)
    inode = box.file.stat().st_ino
    box.run()
    assert (box.file.stat().st_mode & 0o777, box.file.stat().st_ino) == (0o640, inode)
    assert box.ended.changed == 1


def test_a_link_is_replaced_and_what_it_led_to_is_left_alone(box: Box) -> None:
    box.file.parent.mkdir()
    other = box.folder / "other"
    other.write_text("một\n")
    box.file.symlink_to(other)
    box.role("a", configure=lambda ctx: box.put(ctx, content="hai\n"))
    assert box.run() == DONE
    assert not box.file.is_symlink()
    assert (box.file.read_text(), other.read_text()) == ("hai\n", "một\n")


def test_no_secret_is_in_the_journal(box: Box, capfd: pytest.CaptureFixture[str]) -> None:
    def configure(ctx: Context) -> None:
        password = ctx.secrets["password"]
        box.put(ctx, content=f"pass={password}\n")
        box.put(ctx, path=str(box.folder / "key"), content=password, secret=True)
        _shell(f"echo {password} | base64 -w0; echo {password} >&2; exit 1", name=f"Say {password}")

    box.role("a", configure=configure)
    assert box.run("plan") == DONE
    assert SECRET not in box.journal
    assert box.run() == FAILED
    assert "pass=******" in box.operations[0].diff
    assert box.operations[1].diff == ""
    assert (box.folder / "key").stat().st_mode & 0o777 == 0o600
    encoded = base64.b64encode(SECRET.encode()).decode().rstrip("=")
    assert SECRET not in box.journal
    assert encoded[:-2] not in box.journal
    assert "******" in box.operations[2].name
    said = capfd.readouterr()
    assert SECRET not in said.out + said.err
    for path in box.folder.rglob("*"):
        if path.is_file() and path.name not in {"a.conf", "key"}:
            assert SECRET not in path.read_text(), path


def test_a_second_run_is_told_who_holds_the_machine(box: Box) -> None:
    box.role("a", configure=box.put)
    with lock(box.paths.lock, Holder("binh@may2", "2026-11-24T22:00:00.000Z", "run-0")):
        assert box.run() == FAILED
    assert box.ended.error is not None
    assert "binh@may2 since 2026-11-24T22:00:00.000Z (run run-0)" in box.ended.error.message
    assert not box.file.exists()
    assert box.run() == DONE


def test_someone_who_only_looks_at_the_lock_is_no_other_run(box: Box) -> None:
    box.role("a", configure=box.put)
    box.run()
    with box.paths.lock.open("rb") as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)
        threading.Timer(0.02, lambda: fcntl.flock(looked_at, fcntl.LOCK_UN)).start()
        assert box.run() == DONE


def test_a_full_disk_leaves_whole_lines_and_an_error(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from deploy.runner.journal_writer import JournalError, JournalWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
journal = JournalWriter(Path(sys.argv[1]))
try:
    while True:
        journal.operation("a", "Place", "changed", seconds=1.0, diff="x" * 77)
except JournalError as error:
    print(error)
"""
    path = tmp_path / "journal.jsonl"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert f"cannot write the journal {path}" in done.stdout
    lines = path.read_bytes().splitlines(keepends=True)
    assert [parse_event(line).seq for line in lines] == list(range(len(lines)))
    assert lines[-1].endswith(b"\n")
    assert len(lines) > 2


def test_a_stop_ends_the_run_after_the_operation_that_is_on(box: Box) -> None:
    box.role("a", configure=lambda ctx: (box.put(ctx), _asks_to_stop(box.stop, name="Stop"), absent(str(box.file))))
    assert box.run() == FAILED
    assert box.ended.status == "stopped"
    assert [op.status for op in box.operations] == ["changed", "changed"]
    assert box.file.exists()
    assert read_state(box.paths.state).order is None


def test_a_machine_that_is_switched_off_leaves_a_run_without_its_last_word(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is how a laptop knows a run that has to go on."""
    monkeypatch.setattr("deploy.runner.run.goes_down", lambda: True)
    box.role("a", configure=lambda ctx: (box.put(ctx), _asks_to_stop(box.stop, name="Stop"), absent(str(box.file))))
    assert box.run() == FAILED
    last = parse_event(box.journal.splitlines()[-1])
    assert isinstance(last, OperationEnded)
    assert last.name == "Stop"


def test_a_role_that_left_is_retired_first_and_forgotten(box: Box) -> None:
    box.role("a", configure=box.put)
    box.role("b", retire=lambda ctx: absent(str(box.file), name="Away"))
    box.run()
    assert box.run("plan", roles={"a": "một\n"}) == DONE
    assert box.file.exists()
    assert [(e.role, e.stage) for e in box.events if isinstance(e, RoleStarted)] == [("b", "retire"), ("a", "apply")]
    assert list(read_state(box.paths.state).roles) == ["a", "b"]
    box.run(roles={"a": "một\n"}, only_roles=("a",))
    assert list(read_state(box.paths.state).roles) == ["a", "b"]
    box.run(roles={"a": "một\n"})
    assert [(op.role, op.name, op.status) for op in box.operations] == [
        ("b", "Away", "changed"),
        ("a", f"Place {box.file}", "changed"),
    ]
    assert list(read_state(box.paths.state).roles) == ["a"]


def test_a_role_that_the_kit_has_lost_is_said_and_kept_on_record(box: Box) -> None:
    box.role("a")
    box.role("b")
    box.run()
    del box.tasks["b"]
    assert box.run() == DONE
    error = box.operations[0].error
    assert error is not None
    assert "does not know it any more" in error.message
    assert list(read_state(box.paths.state).roles) == ["a", "b"]


def test_only_the_roles_asked_for_are_applied(box: Box) -> None:
    box.role("a", configure=box.put)
    box.role("b", configure=lambda ctx: box.put(ctx, path=str(box.folder / "b")))
    box.run(only_roles=("b",))
    assert [op.role for op in box.operations] == ["b"]
    assert read_state(box.paths.state).order is None


def test_a_template_with_a_mistake_is_found_before_anything_is_touched(box: Box) -> None:
    def configure(ctx: Context) -> None:
        raise UndefinedError("'optoins' is undefined")

    box.role("a", configure=box.put)
    box.role("b", configure=configure)
    assert box.run() == FAILED
    assert box.ended.error is not None
    assert "role b: configure cannot be prepared" in box.ended.error.message
    assert "'optoins' is undefined; nothing was touched" in box.ended.error.message
    assert not box.file.exists()


def test_a_damaged_state_file_is_said_with_what_to_do(box: Box) -> None:
    box.role("a")
    box.paths.lasting.mkdir()
    box.paths.state.write_text("{")
    assert box.run() == FAILED
    assert box.ended.error is not None
    assert "state.json is damaged" in box.ended.error.message
    assert "Move the file away" in box.ended.error.next_step


def test_a_question_that_cannot_be_answered_yet_does_not_end_a_plan(box: Box) -> None:
    box.role("a", configure=lambda ctx: (_asks(f"cat {box.file}/none", name="Ask"), box.put(ctx)))
    assert box.run("plan") == DONE
    assert [op.status for op in box.operations] == ["would_change", "would_change"]
    assert "cannot be told" in box.operations[0].commands[0]
    assert box.run() == FAILED
    error = box.operations[0].error
    assert error is not None
    assert "No such file" in error.output


def test_a_fact_is_asked_for_once_until_something_changed(box: Box) -> None:
    counter = box.folder / "counter"
    question = f"echo x >>{counter}; wc -l <{counter}"
    box.role("a", install=lambda ctx: [_asks(question, name=f"Ask {n}") for n in range(3)], configure=box.put)
    box.tasks["a"].activate = lambda ctx: _asks(question, name="Ask again")
    assert box.run() == DONE
    assert counter.read_text() == "x\nx\n"
    assert box.run() == DONE
    assert counter.read_text() == "x\nx\nx\n"


def test_a_request_that_is_none_is_refused_without_its_words(box: Box, capfd: pytest.CaptureFixture[str]) -> None:
    box.paths.fleeting.mkdir()
    box.paths.request("run-9").write_text(json.dumps({"order": {"secrets": {"a.password": SECRET}}}))
    assert run("run-9", box.source, box.paths) == BAD_REQUEST
    said = capfd.readouterr().err
    assert "run-9 cannot begin" in said
    assert SECRET not in said
    assert not box.paths.request("run-9").exists()


def test_a_run_is_done_once(box: Box, capfd: pytest.CaptureFixture[str]) -> None:
    box.role("a", configure=box.put)
    box.run()
    before = box.journal
    box.count = 0
    assert box.run() == BAD_REQUEST
    assert "journal" in capfd.readouterr().err
    assert box.journal == before


def test_the_runner_loads_nothing_heavy_that_it_does_not_use() -> None:
    script = (
        "import sys, runpy; sys.argv = ['deploy.runner']\n"
        "try: runpy.run_module('deploy.runner', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 2, end.code\n"
        "for name in ('paramiko', 'typeguard', 'gevent'): assert '/stubs/' in sys.modules[name].__file__, name\n"
        "assert not {'packaging.markers', 'packaging.specifiers', 'greenlet', 'zope'} & set(sys.modules)\n"
        "import pyinfra.operations.apt, pyinfra.operations.files, pyinfra.operations.server\n"
        "from packaging.requirements import Requirement\n"
        "assert str(Requirement('a>=1').specifier) == '>=1'\n"
        "assert not {'cryptography', 'nacl', 'bcrypt', 'invoke', 'pyinfra.connectors.ssh'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@operation()
def _shell(command: str) -> Any:
    yield StringCommand(command)


@operation()
def _asks(question: str) -> Any:
    host.get_fact(_Answer, question=question)
    yield from ()


@operation()
def _asks_to_stop(stop: Stop) -> Any:
    stop.ask()
    yield StringCommand("true")


class _Answer(FactBase[str]):
    def command(self, question: str) -> str:
        return question


class _Guard:
    """Stands in for the guard of a run."""

    def __init__(self, *, rolls_back: bool = False) -> None:
        self.said: list[str] = []
        self._rolls_back = rolls_back

    def tell_of_earlier(self) -> None:
        self.said.append("earlier")

    def before_change(self) -> None:
        self.said.append("change")

    def settle(self, role: str) -> None:
        self.said.append(f"settle {role}")
        if self._rolls_back:
            raise RolledBackError(OperationError(message="nobody got in; rolled back, verified", next_step="Look."))


def test_the_guard_is_asked_before_a_change_and_at_each_roles_end(box: Box) -> None:
    box.role("a", configure=box.put)
    box.role("b", configure=lambda ctx: box.put(ctx, path=f"{box.file}.b"))
    box.guard = _Guard()
    assert box.run() == DONE
    assert box.guard.said == ["earlier", "change", "settle a", "change", "settle b"]
    box.guard = _Guard()
    assert box.run() == DONE
    assert box.guard.said == ["earlier", "settle a", "settle b"]
    box.guard = _Guard()
    assert box.run("plan", roles={"a": "khác"}) == DONE
    assert "change" not in box.guard.said


def test_a_role_that_fails_half_way_is_settled_too(box: Box) -> None:
    box.role("a", configure=lambda ctx: (box.put(ctx), _shell("false", name="Break")))
    box.guard = _Guard()
    assert box.run() == FAILED
    assert box.guard.said[-1] == "settle a"


def test_after_a_roll_back_the_run_ends_failed_and_the_next_role_is_not_begun(box: Box) -> None:
    box.role("a", configure=box.put)
    box.role("b", configure=lambda ctx: box.put(ctx, path=f"{box.file}.b"))
    box.guard = _Guard(rolls_back=True)
    assert box.run() == FAILED
    assert box.ended.status == "failed"
    assert box.ended.error is not None
    assert box.ended.error.message == "nobody got in; rolled back, verified"
    assert [operation.role for operation in box.operations] == ["a"]
