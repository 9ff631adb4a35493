"""Call tests: from what a page tells to figures, from figures to sentences; and who may be asked to call."""

from __future__ import annotations

import io
import pwd
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from deploy.fleet.updates import State, Update
from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.journal import Call, CallEnded, CallPath, CallWay, CheckEnded, Event, parse_event
from deploy.order import CallTest, Order, Request
from deploy.report.calls import print_calls
from deploy.report.picture import Picture
from deploy.report.summary import exit_code, summary
from deploy.runner.calls import browser, calling
from deploy.runner.calls.browser import BrowserError
from deploy.runner.calls.figures import path, round_trips, way
from deploy.runner.calls.judging import Judged, judge, verdict
from deploy.runner.journal_writer import JournalWriter
from deploy.site import CATALOG

INVENTORIES = Path(__file__).parents[2] / "inventories"
SITE = resolve(load(INVENTORIES, CATALOG), "xa-mau").site
UDP = CallPath(local="host", remote="host", protocol="udp")
TLS = CallPath(local="relay", remote="host", protocol="tls")
GOOD = CallWay(
    kilobits=900, packets=9000, lost_percent=0, jitter_ms=3, frames_per_second=20, freezes=0, frozen_seconds=0
)


def sample(at: float, **changed: Any) -> dict[str, Any]:
    """One second's totals of a call of 100 packets and 20 frames a second each way, unless said otherwise."""
    one = {"bytes": at * 100_000, "packets": at * 100, "lost": 0, "frames": at * 20, "freezes": 0, "frozen": 0}
    told = {
        "up": {**one, "jitter": [["audio", 0.003], ["video", 0.2]]},
        "down": {**one, "jitter": [["audio", 0.004]]},
    }
    for name, value in changed.items():
        told[name.partition("_")[0]][name.partition("_")[2]] = value
    path = {"local": "host", "remote": "host", "protocol": "udp"}
    return {"at": at, "joining": 1, "flowing": 2.2, **told, "trips": [[at, 0.01 * (1 + at)]], "path": path}


def test_totals_become_figures() -> None:
    samples = [sample(at) for at in range(11)]
    up = way(samples, "up")
    assert (up.kilobits, up.packets, up.lost_percent, up.frames_per_second) == (800, 1000, 0, 20)
    assert (up.jitter_ms, way(samples, "down").jitter_ms) == (3, 4)
    assert (up.freezes, up.frozen_seconds) == (0, 0)
    assert path(samples) == UDP
    assert round_trips(samples) == (60, 110)


def test_what_never_came_counts_as_sent() -> None:
    samples = [sample(0), sample(10, down_packets=990, down_lost=10, up_lost=10)]
    assert (way(samples, "down").lost_percent, way(samples, "up").lost_percent) == (1, 1)
    nothing = [sample(0, down_packets=5), sample(10, down_packets=5)]
    assert way(nothing, "down").lost_percent == 100


def test_a_picture_that_stands_still_is_seen_each_way() -> None:
    stands = [sample(at, up_frames=min(at, 3) * 20 + max(0, at - 6) * 20) for at in range(10)]
    assert (way(stands, "up").freezes, way(stands, "up").frozen_seconds) == (1, 3)
    told = [sample(at, down_freezes=at // 5, down_frozen=at / 10) for at in range(11)]
    assert (way(told, "down").freezes, way(told, "down").frozen_seconds) == (2, 1)


def test_a_new_connection_begins_its_totals_anew() -> None:
    samples = [sample(0), sample(1), sample(2, up_packets=10), sample(3, up_packets=110)]
    assert way(samples, "up").packets == 200


def test_a_picture_that_a_new_connection_never_brings_back_stands_still_to_the_end() -> None:
    cut = [sample(at, down_frames=at * 20 if at < 3 else 0) for at in range(10)]
    assert way(cut, "down").frozen_seconds == 6


def test_an_answer_is_counted_once() -> None:
    seen = [sample(at) | {"trips": [[7, 0.02]]} for at in range(9)]
    assert round_trips([*seen, sample(9) | {"trips": [[8, 0.04]]}]) == (30, 40)
    assert round_trips([sample(0) | {"trips": []}]) == (0, 0)


@pytest.mark.parametrize(
    ("changed", "red"),
    [
        ({}, []),
        ({"begun": (5.2, 6)}, ["call.begins"]),
        ({"trips": (90, 900)}, ["call.round_trip"]),
        ({"up": {"lost_percent": 1.1}}, ["call.loss_up"]),
        ({"down": {"jitter_ms": 60}}, ["call.jitter_down"]),
        ({"up": {"frames_per_second": 4}}, ["call.picture_up"]),
        ({"down": {"frozen_seconds": 7}}, ["call.picture_down"]),
    ],
)
def test_each_limit_is_judged_by_itself(changed: dict[str, Any], red: list[str]) -> None:
    judged = _judged(**changed)
    assert [one.id for one in judged if one.grade == "bad"] == red
    assert verdict(one.grade for one in judged) == ("bad" if red else "good")
    assert all(one.next_step for one in judged if one.grade == "bad")


@pytest.mark.parametrize("changed", [{"path": TLS}, {"trips": (200, 400)}])
def test_between_good_and_bad_people_can_go_on(changed: dict[str, Any]) -> None:
    assert verdict(one.grade for one in _judged(**changed)) == "bearable"


def test_a_call_is_checks_and_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [sample(at, down_lost=at * 5) for at in range(11)]
    events = _run(tmp_path, monkeypatch, samples)
    (call,) = (event for event in events if isinstance(event, CallEnded))
    assert (call.verdict, call.begun_seconds, call.loaded, call.up.kilobits) == ("bad", 1.2, False, 800)
    checks = {event.id: event for event in events if isinstance(event, CheckEnded)}
    assert [one for one, event in checks.items() if event.status == "failed"] == ["call.loss_down"]
    assert checks["call.loss_down"].sentence == "Hardly a packet to hop1 is lost."
    assert "--role network --lab`" in checks["call.loss_down"].next_step
    picture = _picture(events)
    assert exit_code(picture) == 1
    assert summary("call-test", "xa-mau", picture, 1.0)["calls"] == 1
    said = _said(picture)
    assert "hop1: bad: a meeting would be disturbed." in said
    assert "4.76 % of 1050 packets lost" in said


def test_no_media_is_said_with_what_was_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = _run(tmp_path, monkeypatch, [sample(60, down_packets=0) | {"flowing": None, "path": None}])
    (check,) = (event for event in events if isinstance(event, CheckEnded))
    assert (check.id, check.status) == ("call.media", "failed")
    assert check.detail == "in 30 s 6000 packets went and 0 came, for no way to the service was found"
    assert "there was no call to measure" in _said(_picture(events))


def test_a_browser_that_does_not_start_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = _run(tmp_path, monkeypatch, BrowserError("it has ended"))
    (check,) = (event for event in events if isinstance(event, CheckEnded))
    assert (check.status, check.detail) == ("failed", "it has ended")
    assert "lienxa apply xa-mau --machine hop1 --role video_client --lab" in check.next_step


def test_the_browser_is_given_the_machine_s_policies_but_what_forbids_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "managed"
    own.mkdir()
    (own / "a.json").write_text('{"DeveloperToolsAvailability": 2, "AudioCaptureAllowed": false}')
    monkeypatch.setattr(browser, "POLICIES", own)
    given = browser._policies(tmp_path / "run")
    assert (given / "a.json").read_text() == '{"AudioCaptureAllowed": false}'
    assert (given.stat().st_mode & 0o777, (given / "a.json").stat().st_mode & 0o777) == (0o755, 0o644)


@pytest.mark.parametrize(
    ("session", "sound", "user"),
    [
        ("User=0\nClass=user", True, None),
        ("User=4711\nClass=greeter", True, None),
        ("User=4711\nClass=user", False, None),
        ("User=4711\nClass=user", True, "canbo"),
        ("", True, None),
    ],
    ids=["root", "nobody signed in", "no sound server", "somebody", "no seat"],
)
def test_who_sits_there_lends_their_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session: str, sound: bool, user: str | None
) -> None:
    if sound:
        (tmp_path / "4711/pulse").mkdir(parents=True)
        (tmp_path / "4711/pulse/native").touch()
    monkeypatch.setattr(browser, "RUNTIME", tmp_path)
    monkeypatch.setattr(browser, "_told", lambda *words: session if "show-session" in words else session and "c1")
    monkeypatch.setattr(pwd, "getpwuid", lambda number: SimpleNamespace(pw_name="canbo"))
    assert browser.sitter().user == user
    assert ("DynamicUser=yes" in browser.sitter().properties) == (user is None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--machine", "gw1"], "gw1 has no role video_client"),
        (["--machine", "hop9"], "there is no machine 'hop9'"),
        (["--load"], "only a lab has the other end"),
        (["--minutes", "0"], "0.1<=x<=15"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_touched(words: list[str], said: str) -> None:
    code, text = _cli("call-test", "xa-mau", *words, inventories=INVENTORIES)
    assert (code, said in text) == (2, True), text


def test_without_an_echo_room_it_is_said_what_to_add(tmp_path: Path) -> None:
    for file in ("province.yaml", "xa-mau/commune.yaml"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        lines = (INVENTORIES / file).read_text(encoding="utf-8").splitlines()
        (tmp_path / file).write_text("\n".join(line for line in lines if "echo:" not in line), encoding="utf-8")
    code, text = _cli("call-test", "xa-mau", inventories=tmp_path)
    assert (code, "upstream.meeting.echo: https://…" in text) == (2, True), text


def _judged(
    begun: tuple[float, float] = (1.0, 2.0),
    trips: tuple[float, float] = (10, 20),
    path: CallPath = UDP,
    up: dict[str, Any] | None = None,
    down: dict[str, Any] | None = None,
) -> list[Judged]:
    ways = (GOOD.model_copy(update=up or {}), GOOD.model_copy(update=down or {}))
    made = Call(
        page="https://hop.gialai.gov.vn/thu",
        generated=True,
        loaded=False,
        seconds=100.0,
        begun_seconds=begun[0],
        page_seconds=begun[1],
        round_trip_ms=trips[0],
        round_trip_slow_ms=trips[1],
        path=path,
        up=ways[0],
        down=ways[1],
    )
    return list(judge(made))


def _run(folder: Path, monkeypatch: pytest.MonkeyPatch, told: list[dict[str, Any]] | BrowserError) -> list[Event]:
    def called(*_: object, **__: object) -> list[dict[str, Any]]:
        if isinstance(told, BrowserError):
            raise told
        return told

    monkeypatch.setattr(calling, "_called", called)
    request = Request(
        run="r",
        action="call-test",
        order=Order(machine="hop1", site=SITE, roles=()),
        by="an@may",
        call=CallTest(seconds=10),
        lab=True,
    )
    journal = JournalWriter(folder / "journal")
    calling.run_call_test(request, journal, folder, lambda: False)
    journal.close()
    return [parse_event(line) for line in (folder / "journal").read_text().splitlines()]


def _picture(events: list[Event]) -> Picture:
    picture = Picture(["hop1"])
    for event in events:
        picture(Update("hop1", State.RUNNING, event=event))
    picture(Update("hop1", State.FAILED, message="1 failed"))
    return picture


def _said(picture: Picture) -> str:
    out = io.StringIO()
    print_calls(Console(file=out, width=200), picture)
    return out.getvalue()


def _cli(*words: str, inventories: Path) -> tuple[int, str]:
    command = [sys.executable, "-c", "from deploy.cli import main; main()", *words, "--inventories", str(inventories)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr
