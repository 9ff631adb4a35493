"""What is printed when a run has ended: what is wrong first, then the table, then one sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from deploy.fleet.updates import State
from deploy.journal import CheckEnded, OperationEnded
from deploy.report.console import STYLES, label, plain_table
from deploy.report.picture import MachineRun, Picture
from deploy.report.words import closing, count, duration

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def print_plan(console: Console, picture: Picture) -> None:
    """Every operation that would change something, with its commands or its diff."""
    for machine in picture.machines.values():
        for operation in machine.operations:
            if operation.status == "would_change":
                _line(console, 0, f"{machine.name}: {operation.role}: {operation.name}", "bold yellow")
                _print_change(console, operation)


def print_outcome(console: Console, picture: Picture, line: Mapping[str, Any], notes: Iterable[str] = ()) -> None:
    """Failures with their next steps, the machines, what was not looked at, and the closing sentence."""
    for machine in picture.machines.values():
        _print_failures(console, machine)
    console.print(_checks_table(picture) if line["verb"] == "verify" else _operations_table(picture))
    _print_skipped(console, picture)
    for machine in picture.machines.values():
        for warning in machine.warnings:
            _line(console, 0, f"! {machine.name}: {warning}", "yellow")
    for note in notes:
        _line(console, 0, f"Note: {note}", "dim")
    good = not (line["failed"] or line["unreachable"] or line["held_back"])
    _line(console, 0, closing(line), "bold green" if good else "bold red")


def _print_failures(console: Console, machine: MachineRun) -> None:
    for guard in machine.guards:
        if guard.status == "rolled_back" and machine.started and not guard.guard.startswith(machine.started.run):
            _line(console, 0, f"- {machine.name}: before this run: {guard.sentence}", "yellow")
    for operation in machine.failed_operations:
        _line(console, 0, f"✗ {machine.name}: {operation.role}: {operation.name}", "bold red")
        _print_error(console, operation)
    for check in machine.failed_checks:
        _print_check(console, machine.name, check)
    if machine.state in {State.FAILED, State.UNREACHABLE, State.HELD_BACK, State.LOST}:
        _print_end(console, machine)


def _print_end(console: Console, machine: MachineRun) -> None:
    """Why a machine as a whole did not get through, unless its failed operations have said it."""
    explained = machine.failed_operations or machine.failed_checks
    error = machine.ended.error if machine.ended else None
    if machine.state is State.FAILED and explained and error is None:
        return
    _line(console, 0, f"✗ {machine.name}: {label(machine.state)}", STYLES[machine.state])
    reasons = [machine.message] + ([error.message, error.output] if error else [])
    for reason in dict.fromkeys(filter(None, reasons)):
        _line(console, 4, reason)
    if error and error.next_step:
        _line(console, 4, f"Next: {error.next_step}", "yellow")


def _print_error(console: Console, operation: OperationEnded) -> None:
    if operation.error is None:
        return
    _line(console, 4, operation.error.message)
    if operation.error.output:
        _line(console, 6, operation.error.output, "dim")
    if operation.error.next_step:
        _line(console, 4, f"Next: {operation.error.next_step}", "yellow")


def _print_check(console: Console, machine: str, check: CheckEnded) -> None:
    broke = " (the check itself broke)" if check.status == "error" else ""
    _line(console, 0, f"✗ {machine}: {check.role}: {check.sentence}{broke}", "bold red")
    if check.detail:
        _line(console, 4, check.detail)
    if check.next_step:
        _line(console, 4, f"Next: {check.next_step}", "yellow")


def _print_skipped(console: Console, picture: Picture) -> None:
    """A line per machine and reason: one unit that is down may skip dozens."""
    for machine in picture.machines.values():
        reasons = Counter(check.detail for check in machine.skipped_checks)
        for reason, number in reasons.items():
            why = reason.removeprefix("skipped ") or "no reason given"
            _line(console, 0, f"- {machine.name}: {count(number, 'check')} skipped: {why}", "yellow")


def _print_change(console: Console, operation: OperationEnded) -> None:
    if not operation.diff:
        for command in operation.commands:
            _line(console, 4, f"$ {command}", "dim")
        return
    for row in operation.diff.splitlines():
        _line(console, 4, row, _DIFF_STYLES.get(row[:1], ""))


def _operations_table(picture: Picture) -> object:
    table = plain_table("machine", "state", "operations", "changed", "failed", "time")
    for machine in picture.machines.values():
        table.add_row(
            machine.name,
            Text(label(machine.state), style=STYLES[machine.state]),
            str(len(machine.operations)),
            str(machine.changed),
            _red(len(machine.failed_operations)),
            _time(machine),
        )
    return table


def _checks_table(picture: Picture) -> object:
    table = plain_table("machine", "state", "checks", "passed", "failed", "skipped", "time")
    for machine in picture.machines.values():
        table.add_row(
            machine.name,
            Text(label(machine.state), style=STYLES[machine.state]),
            str(len(machine.checks)),
            str(machine.passed),
            _red(len(machine.failed_checks)),
            str(len(machine.skipped_checks)),
            _time(machine),
        )
    return table


def _red(number: int) -> Text:
    return Text(str(number), style="bold red" if number else "")


def _time(machine: MachineRun) -> str:
    return duration(machine.ended.seconds) if machine.ended else ""


def _line(console: Console, indent: int, text: str, style: str = "") -> None:
    """Text from a machine: printed as it is, but for control characters, which could rewrite the terminal."""
    for row in _CONTROL.sub("", text).splitlines():
        console.print(Text(" " * indent + row, style=style), soft_wrap=True)
