"""What people and programs see of a run. The updates are made by hand; the lab's tests bring the real ones."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from deploy.fleet.updates import State, Update
from deploy.journal import (
    CheckEnded,
    Event,
    GuardEvent,
    OperationEnded,
    OperationError,
    RoleStarted,
    RunEnded,
    RunStarted,
)
from deploy.report.console import LiveProgress, PlainProgress, make_console, progress
from deploy.report.json_lines import JsonLines
from deploy.report.outcome import print_outcome, print_plan
from deploy.report.picture import Picture
from deploy.report.summary import exit_code, summary

AT = "2026-11-24T22:03:27.000Z"


def started(machine: str, total: int | None = 2, action: Any = "apply") -> RunStarted:
    return RunStarted(
        seq=0,
        at=AT,
        run="r1",
        machine=machine,
        action=action,
        by="an@laptop",
        commit=None,
        clean=None,
        order="0" * 64,
        debian="13",
        python="3.13",
        total=total,
    )


def operation(name: str, status: Any = "unchanged", **more: Any) -> OperationEnded:
    return OperationEnded(seq=1, at=AT, role="network", name=name, status=status, seconds=0.2, **more)


def check(sentence: str, status: Any = "passed", **more: Any) -> CheckEnded:
    return CheckEnded(
        seq=1, at=AT, role="network", id=f"network.{sentence}", sentence=sentence, status=status, seconds=0.1, **more
    )


def ended(status: Any = "done", **more: Any) -> RunEnded:
    return RunEnded(seq=9, at=AT, status=status, seconds=4.2, **more)


def updates(machine: str, *events: Event, last: State = State.DONE, message: str = "") -> list[Update]:
    running = [Update(machine, State.RUNNING, event) for event in events]
    return [Update(machine, State.CONNECTING), *running, Update(machine, last, None, message)]


FAILURE = OperationError(message="nft refused it", output="syntax error\nline 3", next_step="mend the rule")


@pytest.fixture
def stream() -> list[Update]:
    return [
        Update("gw1", State.WAITING),
        *updates("gw1", started("gw1"), RoleStarted(seq=1, at=AT, role="network", stage="apply"), last=State.RUNNING),
        Update("gw1", State.RUNNING, operation("Package unbound")),
        Update("gw1", State.RUNNING, operation("/etc/unbound/unbound.conf", "changed", diff="+a\n-b")),
        Update("gw1", State.DONE, ended(operations=2, changed=1)),
        *updates(
            "srv1", started("srv1"), operation("/etc/nftables.conf", "failed", error=FAILURE), last=State.FAILED
        ),
        *updates("vp01", last=State.UNREACHABLE, message="Connection timed out: is it on?"),
    ]


def picture_of(stream: list[Update]) -> Picture:
    picture = Picture(["gw1", "srv1", "vp01"])
    for update in stream:
        picture(update)
    return picture


def printed(action: Any, *args: Any) -> str:
    text = io.StringIO()
    action(Console(file=text, width=120, color_system=None), *args)
    return text.getvalue()


def test_summary_counts_what_the_machines_said(stream: list[Update]) -> None:
    assert summary("apply", "xa-mau", picture_of(stream), 9.06) == {
        "event": "summary",
        "verb": "apply",
        "commune": "xa-mau",
        "machines": 3,
        "operations": 3,
        "changed": 1,
        "failed": 1,
        "unreachable": 1,
        "held_back": 0,
        "seconds": 9.1,
    }


def test_summary_of_checks() -> None:
    picture = picture_of(
        updates(
            "gw1",
            started("gw1"),
            check("a"),
            check("b", "failed"),
            check("c", "error"),
            check("d", "skipped"),
            last=State.FAILED,
        )
    )
    line = summary("verify", "xa-mau", picture, 1)
    assert [line[key] for key in ("checks", "passed", "failed", "skipped")] == [4, 1, 2, 1]


def test_machine_that_refused_counts_as_a_failure() -> None:
    picture = picture_of(updates("gw1", last=State.FAILED, message="locked by an@other since 10:02"))
    assert summary("apply", "xa-mau", picture, 1)["failed"] == 1


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ((State.DONE, State.DONE), 0),
        ((State.DONE, State.FAILED), 1),
        ((State.FAILED, State.UNREACHABLE), 1),
        ((State.DONE, State.UNREACHABLE), 3),
        ((State.UNREACHABLE, State.HELD_BACK), 3),
        ((State.DONE, State.HELD_BACK), 1),
        ((State.DONE, State.LOST), 1),
    ],
)
def test_exit_code(states: tuple[State, State], code: int) -> None:
    picture = Picture(["gw1", "srv1"])
    picture(Update("gw1", states[0]))
    picture(Update("srv1", states[1]))
    assert exit_code(picture) == code


def test_red_check_is_a_failure_though_the_run_is_done() -> None:
    assert exit_code(picture_of(updates("gw1", started("gw1"), check("a", "failed")))) == 1


def test_outcome_says_failure_machine_error_and_next_step_before_the_table(stream: list[Update]) -> None:
    picture = picture_of(stream)
    text = printed(print_outcome, picture, summary("apply", "xa-mau", picture, 9))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert lines[:5] == [
        "✗ srv1: network: /etc/nftables.conf",
        "nft refused it",
        "syntax error",
        "line 3",
        "Next: mend the rule",
    ]
    assert lines[5:7] == ["✗ vp01: unreachable", "Connection timed out: is it on?"]
    assert lines[-1] == "xa-mau: 3 machines, 3 operations, 1 changed, 1 failed, 1 out of reach, in 9.0 s."


def test_a_roll_back_is_said_as_it_comes_and_an_earlier_one_at_the_end() -> None:
    def rolled_back(run: str) -> GuardEvent:
        return GuardEvent(seq=3, at=AT, status="rolled_back", guard=f"{run}-1", reason="nobody got in", verified=True)

    waiting = GuardEvent(seq=2, at=AT, status="waiting", guard="20261124T220327417-9f3c-1", seconds=40)
    error = OperationError(message="role base: nobody got in; rolled back, verified", next_step="apply again")
    own = started("gw1").run
    stream = updates("gw1", started("gw1"), rolled_back("20260101T000000-aaaa"), waiting, rolled_back(own))
    stream[-1] = Update("gw1", State.FAILED, ended("failed", error=error), f"gw1: {error.message}")
    picture = picture_of(stream)
    text = printed(print_outcome, picture, summary("apply", "xa-mau", picture, 9))
    assert text.count("before this run: nobody got in: rolled back, verified") == 1
    assert "role base: nobody got in; rolled back, verified" in text
    assert "Next: apply again" in text
    assert summary("apply", "xa-mau", picture, 9)["failed"] == 1
    lines = io.StringIO()
    with progress(Console(file=lines, width=160, color_system=None), Picture(["gw1"])) as plain:
        for update in stream:
            plain(update)
    assert "gw1: guard: waiting 40 s for a new connection" in lines.getvalue()


def test_outcome_of_verify_says_sentences_details_notes_and_skips() -> None:
    picture = picture_of(
        updates(
            "gw1",
            started("gw1", action="verify"),
            check("gw1 resolves srv1.", "failed", detail="no answer from 127.0.0.1", next_step="start unbound"),
            check("gw1 refuses ads.", "skipped", detail="skipped because unbound is down"),
            check("gw1 resolves.", "skipped", detail="skipped because unbound is down"),
            last=State.FAILED,
        )
    )
    text = printed(print_outcome, picture, summary("verify", "xa-mau", picture, 1), ["not probed from zone wireless"])
    assert "✗ gw1: network: gw1 resolves srv1.\n    no answer from 127.0.0.1\n    Next: start unbound" in text
    assert "- gw1: 2 checks skipped: because unbound is down" in text
    assert "Note: not probed from zone wireless" in text


def test_plan_shows_diffs_and_commands() -> None:
    picture = picture_of(
        updates(
            "gw1",
            operation("/etc/a", "would_change", diff="--- a\n+++ b\n+new"),
            operation("Unit unbound", "would_change", commands=("systemctl restart unbound",)),
            operation("/etc/c"),
        )
    )
    text = printed(print_plan, picture)
    assert "gw1: network: /etc/a\n    --- a\n    +++ b\n    +new\n" in text
    assert "    $ systemctl restart unbound\n" in text
    assert "/etc/c" not in text


def test_plan_is_coloured_on_a_terminal_and_plain_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = picture_of(updates("gw1", operation("/etc/a", "would_change", diff="+new")))

    def on_terminal() -> str:
        text = io.StringIO()
        print_plan(Console(file=text, force_terminal=True, color_system="standard", legacy_windows=False), picture)
        return text.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32m" in on_terminal()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in on_terminal()


def test_control_characters_of_a_machine_do_not_reach_the_terminal() -> None:
    error = OperationError(message="\x1b[2Jgone\x07 [bold]not markup[/bold]")
    picture = picture_of(updates("gw1", operation("evil", "failed", error=error), last=State.FAILED))
    text = printed(print_outcome, picture, summary("apply", "xa-mau", picture, 1))
    assert "    gone [bold]not markup[/bold]\n" in text


def test_plain_lines_have_what_matters_and_no_control_characters(stream: list[Update]) -> None:
    text = io.StringIO()
    with PlainProgress(Console(file=text, width=40, color_system=None)) as listener:
        for update in stream:
            listener(update)
    lines = text.getvalue().splitlines()
    assert lines == [
        "gw1: connecting",
        "gw1: network: apply",
        "gw1: running",
        "gw1: network: /etc/unbound/unbound.conf: changed",
        "gw1: done: 2 operations, 1 changed, 0 failed, 4.2 s",
        "srv1: connecting",
        "srv1: network: /etc/nftables.conf: failed: nft refused it",
        "srv1: failed",
        "vp01: connecting",
        "vp01: unreachable: Connection timed out: is it on?",
    ]


def test_a_pipe_gets_lines_and_a_terminal_live_rows() -> None:
    picture = Picture(["gw1"])
    assert isinstance(progress(make_console(), picture), PlainProgress)  # pytest's stdout is no terminal
    assert isinstance(progress(Console(force_terminal=True, _environ={}), picture), LiveProgress)
    dumb = Console(force_terminal=True, _environ={"TERM": "dumb"})
    assert isinstance(progress(dumb, picture), PlainProgress)


def test_live_row_says_state_role_progress_sentence_and_seconds() -> None:
    now = 100.0
    picture = Picture(["gw1", "srv1"])
    console = Console(file=io.StringIO(), width=100, color_system=None)
    live = LiveProgress(console, picture, clock=lambda: now)
    for update in updates("gw1", started("gw1", 10), operation("Package unbound"), last=State.RUNNING)[:-1]:
        picture(update)
        live(update)
    now = 107.4
    with console.capture() as captured:
        console.print(live.table())
    gateway, server = captured.get().splitlines()
    assert gateway.split() == ["gw1", "running", "network", "1/10", "Package", "unbound", "7", "s"]
    assert server.split() == ["srv1", "waiting"]


def test_json_has_a_line_per_update_at_once(stream: list[Update]) -> None:
    text = io.StringIO()
    lines = JsonLines(text)
    for number, update in enumerate(stream, 1):
        lines(update)
        assert text.getvalue().count("\n") == number
    objects = [json.loads(line) for line in text.getvalue().splitlines()]
    assert objects[0] == {"event": "state", "machine": "gw1", "state": "waiting"}
    assert objects[-1] == {
        "event": "state",
        "machine": "vp01",
        "state": "unreachable",
        "message": "Connection timed out: is it on?",
    }
    changed = next(each for each in objects if each.get("status") == "changed")
    assert (changed["event"], changed["machine"], changed["state"]) == ("operation", "gw1", "running")
    assert (changed["name"], changed["diff"]) == ("/etc/unbound/unbound.conf", "+a\n-b")


def test_json_keeps_vietnamese_and_one_line() -> None:
    text = io.StringIO()
    JsonLines(text).line({"event": "note", "text": "Xã Mẫu\nhai"})
    assert text.getvalue() == '{"event": "note", "text": "Xã Mẫu\\nhai"}\n'
