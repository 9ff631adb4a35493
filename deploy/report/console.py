"""Live progress on a terminal, plain lines elsewhere. Both are listeners of the fleet's updates."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.fleet.updates import State, Update
from deploy.journal import CheckEnded, Finding, GuardEvent, OperationEnded, RoleStarted, RunEnded
from deploy.report.picture import MachineRun, Picture
from deploy.report.words import count, duration

STYLES = {
    State.WAITING: "dim",
    State.CONNECTING: "cyan",
    State.SENDING: "cyan",
    State.RUNNING: "blue",
    State.LOST: "yellow",
    State.DONE: "green",
    State.FAILED: "bold red",
    State.UNREACHABLE: "bold magenta",
    State.HELD_BACK: "yellow",
}
PLAIN_WIDTH = 160
"""Columns where there is no terminal whose width could be asked."""


class Progress(Protocol):
    """A listener that is shown while a run is on."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    def __call__(self, update: Update) -> None:
        """Take note of an update."""


def make_console() -> Console:
    """For standard output. Honours NO_COLOR; a pipe gets no control characters and no wrapped sentences."""
    console = Console(highlight=False, soft_wrap=False)
    if not console.file.isatty():
        return Console(highlight=False, width=PLAIN_WIDTH, force_terminal=False, color_system=None)
    return console


def progress(console: Console, picture: Picture) -> Progress:
    """Live rows where something can be redrawn, lines where not."""
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveProgress(console, picture)
    return PlainProgress(console)


class LiveProgress:
    """One row per machine, redrawn four times a second; it leaves the last picture behind."""

    def __init__(self, console: Console, picture: Picture, clock: Callable[[], float] = time.monotonic) -> None:
        self._picture = picture
        self._clock = clock
        self._begun: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self.table, transient=False)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, update: Update) -> None:
        """Only the clocks are kept here: the picture takes the rest."""
        now = self._clock()
        if update.state is not State.WAITING:
            self._begun.setdefault(update.machine, now)
        if update.state.final:
            self._ended[update.machine] = now

    def table(self) -> RenderableType:
        """The rows as they stand now."""
        table = Table(box=None, show_header=False, pad_edge=False, expand=True)
        for width in (None, 11, 9, 9):
            table.add_column(no_wrap=True, width=width)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column(justify="right", no_wrap=True, min_width=6)
        for machine in self._picture.machines.values():
            table.add_row(*self._row(machine))
        return table

    def _row(self, machine: MachineRun) -> tuple[RenderableType, ...]:
        return (
            Text(machine.name, style="bold"),
            Text(label(machine.state), style=STYLES[machine.state]),
            machine.role,
            _progress(machine),
            Text(_now(machine)),
            self._seconds(machine.name),
        )

    def _seconds(self, name: str) -> str:
        if name not in self._begun:
            return ""
        return f"{self._ended.get(name, self._clock()) - self._begun[name]:.0f} s"


class PlainProgress:
    """A line for what a reader of a log wants to know: states, roles, changes, failures, red checks."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: dict[str, tuple[State, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        return None

    def __call__(self, update: Update) -> None:
        """Print the update if it is worth a line."""
        text = self._line(update)
        if text:
            self._console.print(Text(f"{update.machine}: {text}"), soft_wrap=True)

    def _line(self, update: Update) -> str:
        if update.event is not None:
            return _event_line(update)
        # How far an upload is changes twenty times; a log needs only what is being sent.
        said = " ".join(update.message.split()[:2]) if update.state is State.SENDING else update.message
        now = (update.state, said)
        if update.state is State.WAITING or self._last.get(update.machine) == now:
            return ""
        self._last[update.machine] = now
        return f"{label(update.state)}{': ' if said else ''}{said}"


def label(state: State) -> str:
    """The state in words."""
    return state.value.replace("_", " ")


def _event_line(update: Update) -> str:
    match update.event:
        case RoleStarted(role=role, stage=stage, total=total, warnings=warnings):
            return "; ".join([f"{role}: {stage}{f', {total} to do' if total else ''}", *warnings])
        case OperationEnded() as operation if operation.status != "unchanged":
            reason = f": {operation.error.message}" if operation.error else ""
            return f"{operation.role}: {operation.name}: {operation.status.replace('_', ' ')}{reason}"
        case CheckEnded() as check if check.status in {"failed", "error"}:
            return f"{check.role}: {check.status}: {check.sentence}"
        case Finding() as finding:
            return f"{finding.topic}: {finding.english.what}"
        case GuardEvent() as guard if guard.status not in {"armed", "released"}:
            return f"guard: {guard.sentence}"
        case RunEnded() as ended:
            return _ended_line(ended)
        case _:
            return ""


def _ended_line(ended: RunEnded) -> str:
    if ended.topics:
        return f"looked at {', '.join(ended.topics)}: {count(ended.findings, 'finding')}"
    numbers = (
        count(ended.checks, "check")
        if ended.checks
        else f"{count(ended.operations, 'operation')}, {ended.changed} changed"
    )
    return f"{ended.status}: {numbers}, {ended.failed} failed, {duration(ended.seconds)}"


def _progress(machine: MachineRun) -> str:
    if machine.total:
        return f"{machine.steps}/{machine.total}"
    return str(machine.steps or "")


def _now(machine: MachineRun) -> str:
    """What is said at the end of a row: what is wrong, or what has just been done."""
    if machine.state is State.DONE:
        return _ended_line(machine.ended) if machine.ended else machine.message
    if machine.state is State.RUNNING:
        return machine.sentence or machine.message
    return machine.message


def plain_table(*columns: str) -> Table:
    """A table as every report draws it."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < 2 else "right", no_wrap=True)
    return table
