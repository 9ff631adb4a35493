"""`lienxa attach`, `stop` and `log`: what is at work on the machines, whoever began it, and what a run wrote."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import click

from deploy.cli.options import (
    commune_argument,
    commune_folder,
    deadline_option,
    inventories_option,
    json_option,
    known,
    lab_option,
    machine_option,
)
from deploy.cli.runs import conclude, follow
from deploy.cli.troubles import troubles
from deploy.fleet.conversation import Message, RefusedError, journal
from deploy.fleet.conversation import stop as ask_to_stop
from deploy.fleet.links import LinkError, Links, Trouble
from deploy.fleet.package_cache import CacheError, ensure_cache
from deploy.fleet.ship import Job
from deploy.fleet.updates import State, Update
from deploy.report.console import PlainProgress, make_console
from deploy.report.exit_codes import DONE, FAILED, UNREACHABLE
from deploy.report.json_lines import JsonLines
from deploy.report.outcome import print_outcome
from deploy.report.picture import Picture
from deploy.target import Target, followers, open_target

_Answer = TypeVar("_Answer")


@click.command()
@commune_argument()
@machine_option
@deadline_option
@lab_option
@json_option
@inventories_option
def attach(
    commune: str, machines: tuple[str, ...], deadline: float | None, lab: bool, as_json: bool, inventories: Path
) -> None:
    """Follow the runs that are on, whoever began them, from their first event to their end; begin nothing.

    This laptop's package cache is lent to them meanwhile.
    """
    commune_folder(inventories, commune)
    with troubles():
        target = open_target(inventories, commune, lab=lab)
        wanted = known(machines, target.managed, "machine", commune) or target.managed
        picture = Picture(wanted)
        port = _package_port()
        asked = [Job(name, request, port, attach=True) for name, request in followers(target, wanted).items()]
        begun = time.monotonic()
        follow(target, asked, picture, deadline, as_json=as_json)
    conclude(
        "attach",
        commune,
        picture,
        begun,
        lambda line: print_outcome(make_console(), picture, line),
        as_json=as_json,
    )


@click.command()
@commune_argument()
@machine_option
@lab_option
@json_option
@inventories_option
def stop(commune: str, machines: tuple[str, ...], lab: bool, as_json: bool, inventories: Path) -> None:
    """Ask the runs that are on to end after the operation that each is at; nothing is left half-done.

    Returns at once: an operation may take long. Follow the end with: lienxa attach COMMUNE.
    """
    commune_folder(inventories, commune)
    with troubles():
        target = open_target(inventories, commune, lab=lab)
        wanted = known(machines, target.managed, "machine", commune) or target.managed
        answers = _ask_all(target, wanted, ask_to_stop)
    if as_json:
        _print_stopped_json(commune, answers)
    else:
        for machine, answer in answers.items():
            click.echo(_stopped(machine, answer))
    click.get_current_context().exit(_code(answers.values()))


@click.command()
@commune_argument()
@click.argument("machine")
@click.option("--run", metavar="RUN", help="Which run; the newest without it.")
@lab_option
@json_option
@inventories_option
def log(commune: str, machine: str, run: str | None, lab: bool, as_json: bool, inventories: Path) -> None:
    """Show what a run has written in its journal on the machine; with --json every event as it is."""
    commune_folder(inventories, commune)
    with troubles():
        target = open_target(inventories, commune, lab=lab)
        known((machine,), target.managed, "machine", commune)
        with Links(target.access) as links:
            events, on = journal(links, machine, run)
    show = JsonLines(sys.stdout) if as_json else PlainProgress(make_console())
    picture = Picture((machine,))
    for event in events:
        for listen in (picture, show):
            listen(Update(machine, State.RUNNING, event))
    if picture.machines[machine].ended is None and not as_json:
        click.echo(f"It is still on: lienxa attach {commune}" if on else "It was cut off before its end.")


def _package_port() -> int | None:
    """The laptop's package cache, where it has one: to follow, none is needed."""
    try:
        return ensure_cache(offline=None)
    except CacheError:
        return None


def _ask_all(
    target: Target, machines: Iterable[str], ask: Callable[[Links, str], _Answer]
) -> dict[str, _Answer | LinkError | RefusedError]:
    """Each machine's answer, or why there is none."""
    with Links(target.access) as links, ThreadPoolExecutor(16) as threads:

        def one(machine: str) -> _Answer | LinkError | RefusedError:
            try:
                return ask(links, machine)
            except (LinkError, RefusedError) as error:
                return error

        names = list(machines)
        return dict(zip(names, threads.map(one, names), strict=True))


def _stopped(machine: str, answer: Message | Exception | None) -> str:
    if isinstance(answer, LinkError):
        return f"✗ {answer}"
    if isinstance(answer, Exception):
        return f"✗ {machine}: {answer}"
    if answer is None:
        return f"{machine}: no run is on"
    by = f", by {answer['by']}" if answer.get("by") else ""
    return f"{machine}: run {answer['run']}{by} ends after the operation that it is at"


def _print_stopped_json(commune: str, answers: dict[str, Message | LinkError | RefusedError | None]) -> None:
    lines = JsonLines(sys.stdout)
    for machine, answer in answers.items():
        run = answer["run"] if isinstance(answer, dict) else None
        message = str(answer) if isinstance(answer, Exception) else ""
        lines.line({"event": "stop", "machine": machine, "reached": not message, "run": run, "message": message})
    stopped = sum(isinstance(answer, dict) for answer in answers.values())
    lines.line(
        {"event": "summary", "verb": "stop", "commune": commune, "machines": len(answers), "stopping": stopped}
        | {"unreachable": sum(isinstance(answer, Exception) for answer in answers.values())}
    )


def _code(answers: Iterable[object]) -> int:
    wrong = [answer for answer in answers if isinstance(answer, Exception)]
    if any(not isinstance(error, LinkError) or error.trouble is not Trouble.UNREACHABLE for error in wrong):
        return FAILED
    return UNREACHABLE if wrong else DONE
