"""The receiver, talked to through pipes: what arrives broken, cut or hostile does no harm."""

from __future__ import annotations

import ast
import fcntl
import hashlib
import io
import json
import lzma
import os
import platform
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.runner import receiver
from deploy.runner.receiver import Line, Machine, Tail, part_name, serve, tidy, unit_command


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.prepare()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('VERSION_ID="13"\n')
    return made


@dataclass
class Systemd:
    """What systemctl says."""

    shown: list[str]
    """Of the runner's unit, one answer after the other; the last one again and again. Empty: no answer at all."""
    state: str = "running"

    def __call__(self, *command: str) -> subprocess.CompletedProcess[str]:
        if command[:2] == ("systemctl", "show"):
            said = self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]
            return subprocess.CompletedProcess(command, 0 if said else 1, said, "" if said else "no bus")
        said = f"{self.state}\n" if command == ("systemctl", "is-system-running") else ""
        return subprocess.CompletedProcess(command, 0, said, "")


AT_WORK = f"ActiveState=active\nDescription={receiver._DESCRIPTION}r1\n"
AT_REST = "ActiveState=inactive\nDescription=\n"


@pytest.fixture(autouse=True)
def systemd(monkeypatch: pytest.MonkeyPatch) -> Systemd:
    made = Systemd([AT_REST])
    monkeypatch.setattr(receiver, "_run", made)
    monkeypatch.setattr(receiver, "_UNIT_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(receiver, "_FIRST_UNIT_LOOK_SECONDS", 0.0)
    return made


def test_it_imports_the_standard_library_alone() -> None:
    tree = ast.parse(Path(receiver.__file__).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_an_archive_is_unpacked_whole_and_its_part_is_gone(machine: Machine) -> None:
    body = _archive({"deploy/a.py": b"x = 1\n"})
    answers = _talk(machine, _upload("content-1", body))
    assert answers[-1] == {"installed": "content-1"}
    assert (machine.kits / "content-1/deploy/a.py").read_bytes() == b"x = 1\n"
    assert [path.name for path in machine.kits.iterdir()] == ["content-1"]


def test_a_cut_upload_goes_on_at_its_byte(machine: Machine) -> None:
    body = _archive({"a": os.urandom(1000)})
    head, _ = _upload("content-1", body)
    _talk(machine, (head, body[:300]))
    part = machine.kits / part_name("content-1", hashlib.sha256(body).hexdigest())
    assert part.stat().st_size == 300
    assert _talk(machine, _upload("content-1", body, offset=300))[-1] == {"installed": "content-1"}


def test_an_archive_is_kept_for_others_and_anybody_may_read_it(machine: Machine) -> None:
    body = _archive({"a": b"1"})
    (head, rest) = _upload("content-1", body)
    assert _talk(machine, (head | {"keep": "only"}, rest))[-1] == {"installed": "content-1"}
    (kept,) = machine.kept.iterdir()
    assert kept.name == f"content-1.{hashlib.sha256(body).hexdigest()[:12]}.tar.xz"
    assert (kept.read_bytes(), kept.stat().st_mode & 0o777) == (body, 0o644)
    assert list(machine.kits.iterdir()) == []


def test_of_the_kept_archives_old_ones_go(machine: Machine) -> None:
    for number in range(receiver.KEPT_ARCHIVES + 3):
        (head, rest) = _upload(f"content-{number}", _archive({"a": str(number).encode()}))
        _talk(machine, (head | {"keep": "too"}, rest))
    assert len(list(machine.kept.iterdir())) == receiver.KEPT_ARCHIVES


@pytest.mark.parametrize("sent", ["right", "damaged", "longer", "nothing"])
def test_what_another_machine_hands_out_counts_by_its_hash(machine: Machine, tmp_path: Path, sent: str) -> None:
    body = _archive({"a": os.urandom(500)})
    served = {"right": body, "damaged": bytes(len(body)), "longer": body + b"x", "nothing": b""}[sent]
    (tmp_path / "served").write_bytes(served)
    url = (tmp_path / "served").as_uri()
    head = {"do": "fetch", "name": "content-1", "sha256": hashlib.sha256(body).hexdigest(), "total": len(body)}
    answer = _talk(machine, (head | {"url": url}, b""))[-1]
    if sent == "right":
        assert answer == {"installed": "content-1"}
        assert [path.name for path in machine.kits.iterdir()] == ["content-1"]
    else:
        assert answer["fetched"] is False
        assert list(machine.kits.iterdir()) == []


def test_a_depot_that_does_not_answer_is_no_error(machine: Machine) -> None:
    head = {"do": "fetch", "name": "content-1", "sha256": "0" * 64, "total": 1, "url": "http://127.0.0.1:1/x"}
    assert _talk(machine, (head, b""))[-1]["fetched"] is False


def test_a_kit_that_a_dropped_connection_brought_meanwhile_is_not_taken_again(machine: Machine) -> None:
    body = _archive({"a": b"1"})
    _talk(machine, _upload("content-1", body))
    head, _ = _upload("content-1", body, offset=len(body) - 1)
    answers = _talk(machine, (head, body[-1:]), _upload("content-2", body))
    assert answers[0] == {"installed": "content-1"}
    assert answers[-1] == {"installed": "content-2"}


def test_a_damaged_archive_is_thrown_away(machine: Machine) -> None:
    body = _archive({"a": b"1"})
    head, _ = _upload("content-1", body)
    assert "damaged" in _talk(machine, (head, bytes(len(body))))[-1]["error"]
    assert list(machine.kits.iterdir()) == []


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "a/../../outside"])
def test_an_archive_cannot_write_outside(machine: Machine, name: str) -> None:
    answer = _talk(machine, _upload("content-1", _archive({name: b"1"})))[-1]
    assert "does not belong" in answer["error"]
    assert not (machine.kits / "content-1").exists()
    assert not list(machine.base.rglob("outside"))


def test_an_archive_cannot_bring_links(machine: Machine) -> None:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    answer = _talk(machine, _upload("content-1", lzma.compress(plain.getvalue())))[-1]
    assert "does not belong" in answer["error"]


@pytest.mark.parametrize("name", ["../x", ".hidden", "a/b", ""])
def test_names_stay_in_their_folder(machine: Machine, name: str) -> None:
    head, body = _upload("x", b"123")
    assert "not a name" in _talk(machine, (head | {"name": name}, body))[-1]["error"]


def test_the_line_stays_in_step_after_a_refused_upload(machine: Machine) -> None:
    body = b'{"do": "nonsense"}\n'
    head, _ = _upload("content-1", body)
    good = _upload("content-2", _archive({"a": b"1"}))
    answers = _talk(machine, (head | {"offset": 99}, body), good)
    assert "not up to 99" in answers[0]["again"]
    assert answers[-1] == {"installed": "content-2"}


def test_a_tail_gives_whole_lines_once_from_the_wanted_number(tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    tail = Tail(journal, 1)
    assert list(tail.read()) == []
    with journal.open("a") as file:
        file.write('{"seq":0,"event":"a"}\n{"seq":1,"event":"b"}\n{"seq":2,')
    assert [json.loads(line)["seq"] for line in tail.read()] == [1]
    assert not tail.ended
    with journal.open("a") as file:
        file.write('"event":"run_ended"}\n')
    assert [json.loads(line)["seq"] for line in tail.read()] == [2]
    assert tail.ended


def test_following_a_finished_run_sends_it_all(machine: Machine) -> None:
    machine.journal("r1").write_text('{"seq":0,"event":"run_started"}\n{"seq":1,"event":"run_ended"}\n')
    answers = _talk(machine, ({"do": "follow", "run": "r1", "seq": 0}, b""))
    assert [json.loads(answer["event"])["seq"] for answer in answers[:-1]] == [0, 1]
    assert answers[-1] == {"followed": "r1"}


class OpenLine(Line):
    """A laptop that listens and asks for nothing."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def waiting(self, seconds: float) -> bool:
        time.sleep(0.01)
        return False


def _followed(machine: Machine) -> dict[str, Any]:
    machine.latest.write_text('{"run": "r1"}')
    machine.journal("r1").write_text('{"seq":0,"event":"run_started"}\n')
    return receiver.follow(machine, OpenLine(), {"run": "r1", "seq": 0})


def test_a_run_whose_unit_has_ended_without_a_last_word_is_gone(machine: Machine) -> None:
    gone = _followed(machine)["gone"]
    assert (gone["begun"], gone["rebooted"]) == (True, False)


@pytest.mark.parametrize(
    ("shown", "state"),
    [([AT_WORK, "", "", AT_WORK], "running"), ([AT_REST], "stopping"), ([AT_WORK, AT_REST, AT_WORK], "running")],
    ids=["systemd is silent", "it goes down", "seen once"],
)
def test_a_machine_that_goes_down_has_not_lost_its_run(
    machine: Machine, systemd: Systemd, shown: list[str], state: str
) -> None:
    systemd.shown, systemd.state = shown, state
    ended = threading.Timer(0.6, _end, [machine.journal("r1")])
    ended.start()
    assert _followed(machine) == {"followed": "r1"}
    ended.join()


def _end(journal: Path) -> None:
    with journal.open("a") as file:
        file.write('{"seq":1,"event":"run_ended"}\n')


def test_where_systemd_is_silent_nothing_is_begun(machine: Machine, systemd: Systemd) -> None:
    systemd.shown = [""]
    (answer,) = _talk(machine, ({"do": "status"}, b""))
    assert "systemd does not answer (no bus)" in answer["error"]


def test_a_run_that_is_known_is_not_started_again(machine: Machine) -> None:
    machine.journal("r1").write_text("")
    begin = {"do": "start", "run": "r1", "runtime": "runtime-1", "content": "content-1", "size": 2}
    assert _talk(machine, (begin, b"{}")) == [{"started": False}]


def test_begin_says_hello_alone_where_a_kit_is_missing(machine: Machine) -> None:
    (machine.kits / "content-1").mkdir()
    answers = _talk(machine, (_begin("r1", "runtime-1", "content-1"), b"{}"), ({"do": "status"}, b""))
    assert answers[0]["hello"] == 1
    assert "started" not in answers[0]
    assert list(machine.requests.iterdir()) == []
    assert "runs" in answers[1]  # the line is in step: the request that was not wanted has been read


def test_begin_greets_and_starts_in_one_round_trip(machine: Machine) -> None:
    for name in ("content-1", "runtime-1"):
        (machine.kits / name).mkdir()
    machine.journal("r1").write_text('{"seq":0,"event":"run_started"}\n{"seq":1,"event":"run_ended"}\n')
    follow = {"do": "follow", "run": "r1", "seq": 0, "guard_seconds": 52.5}
    answers = _talk(machine, (_begin("r1", "runtime-1", "content-1"), b"{}"), (follow, b""))
    assert answers[0]["hello"] == 1
    assert answers[0]["started"] is False  # known already: asked again after a cut
    assert machine.guard_seconds.read_text() == "52.5"
    assert [json.loads(answer["event"])["seq"] for answer in answers[1:-1]] == [0, 1]
    assert answers[-1] == {"followed": "r1"}


def test_what_changed_is_put_on_top_of_the_kit_that_is_here(machine: Machine) -> None:
    _talk(machine, _upload("content-1", _archive({"deploy/a.py": b"x = 1\n", "b": b"b", "c/d": b"d"})))
    head, body = _upload("content-2", _archive({"deploy/a.py": b"x = 2\n", "new": b"n"}))
    answers = _talk(machine, (head | {"base": "content-1", "gone": ["b"]}, body))
    assert answers[-1] == {"installed": "content-2"}
    kit = machine.kits / "content-2"
    found = {path.relative_to(kit).as_posix(): path.read_bytes() for path in kit.rglob("*") if path.is_file()}
    compiled = {name for name in found if "__pycache__" in name}
    assert len(compiled) == 1
    assert {name: found[name] for name in found.keys() - compiled} == {
        "deploy/a.py": b"x = 2\n",
        "c/d": b"d",
        "new": b"n",
    }
    assert sys.implementation.cache_tag in compiled.pop()
    assert (machine.kits / "content-1/b").read_bytes() == b"b"


@pytest.mark.parametrize("gone", ["../content-1/b", "/etc/passwd", ".."])
def test_what_is_gone_is_gone_inside_alone(machine: Machine, gone: str) -> None:
    _talk(machine, _upload("content-1", _archive({"b": b"b"})))
    head, body = _upload("content-2", _archive({"new": b"n"}))
    answers = _talk(machine, (head | {"base": "content-1", "gone": [gone]}, body))
    assert "does not belong" in answers[-1]["error"]
    assert (machine.kits / "content-1/b").exists()
    assert not (machine.kits / "content-2").exists()


def test_tidy_keeps_what_is_needed_and_the_newest_content(machine: Machine) -> None:
    for name in ("content-1", "content-2", "content-3", "runtime-3.11-a", "runtime-3.11-b", ".new-x"):
        (machine.kits / name).mkdir()
    tidy(machine, keep={"content-1", "runtime-3.11-b"})
    kept = {path.name for path in machine.kits.iterdir()}
    assert kept >= {"content-1", "runtime-3.11-b"}
    assert len(kept) == 3
    assert "runtime-3.11-a" not in kept


def test_the_lock_is_seen_without_being_taken(machine: Machine) -> None:
    assert machine.holder() is None
    with (machine.base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(json.dumps({"who": "an@laptop", "since": "now", "run": "r1"}))
        lock.flush()
        assert machine.holder() == {"who": "an@laptop", "since": "now", "run": "r1"}
    assert machine.holder() is None


def test_the_unit_is_private_and_carries_no_secret() -> None:
    command = unit_command("r1", Path("/kit/content-1"), Path("/kit/runtime-1"))
    assert {"--property=UMask=0077", "--property=PrivateTmp=yes", "--collect"} <= set(command)
    assert command[-1] == "r1"


def _begin(run: str, runtime: str, content: str) -> dict[str, Any]:
    python = f"{sys.version_info.major}.{sys.version_info.minor} {platform.machine()}"
    return {"do": "begin", "run": run, "runtimes": {python: runtime}, "content": content, "size": 2}


def _archive(files: dict[str, bytes]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, body in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
    return lzma.compress(plain.getvalue())


def _upload(name: str, body: bytes, offset: int = 0) -> tuple[dict[str, Any], bytes]:
    sha256 = hashlib.sha256(body).hexdigest()
    head = {"do": "upload", "name": name, "sha256": sha256, "total": len(body), "offset": offset}
    return head | {"size": len(body) - offset}, body[offset:]


def _talk(machine: Machine, *requests: tuple[dict[str, Any], bytes]) -> list[dict[str, Any]]:
    """All requests at once, then the laptop is gone; the answers."""
    source, ours = os.pipe()
    theirs, sink = os.pipe()
    with os.fdopen(ours, "wb") as line:
        for head, body in requests:
            line.write(json.dumps(head).encode() + b"\n" + body)
    serve(machine, Line(source, sink))
    os.close(source)
    os.close(sink)
    with os.fdopen(theirs, "rb") as answers:
        return [json.loads(answer) for answer in answers]
