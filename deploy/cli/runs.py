"""`lienxa plan`, `apply` and `verify`: one run on every machine, shown as it goes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from deploy.cli.cache import prepared, record_rehearsal
from deploy.cli.options import (
    commune_argument,
    commune_folder,
    deadline_option,
    inventories_option,
    json_option,
    known,
    lab_option,
    machine_option,
    role_option,
)
from deploy.cli.status import left_to_do
from deploy.cli.troubles import OutOfReach, troubles
from deploy.fleet.kit import Kits
from deploy.fleet.links import ON_MACHINE_PROXY_PORT
from deploy.fleet.package_cache import cache_in_use
from deploy.fleet.ship import Job
from deploy.fleet.updates import Listener, Update
from deploy.fleet.waves import patience_for, run_fleet
from deploy.inventory.record import write_plan
from deploy.inventory.signing import ending
from deploy.order import Request
from deploy.report.console import make_console, progress
from deploy.report.exit_codes import DONE
from deploy.report.html import html_page
from deploy.report.json_lines import JsonLines
from deploy.report.junit import junit_xml
from deploy.report.outcome import print_outcome, print_plan
from deploy.report.picture import Picture
from deploy.report.summary import Verb, exit_code, summary
from deploy.target import Action, Target, not_probed, open_target, requests, vantage_points

_STILL_ON = """
A machine that has its order needs this laptop no more: its run goes on there.
To follow it again: lienxa attach {commune}{lab}
How it ended: lienxa status {commune}{lab}"""


@click.command()
@commune_argument()
@machine_option
@role_option
@lab_option
@json_option
@inventories_option
def plan(**asked: Any) -> None:  # noqa: ANN401 click's own
    """Show what apply would change, with diffs; change nothing."""
    _run("plan", **asked)


@click.command()
@commune_argument()
@machine_option
@role_option
@click.option(
    "--offline", is_flag=True, help="Fetch packages from what rehearsals left on this laptop alone; ask no mirror."
)
@click.option("--failed", is_flag=True, help="Only machines on which the present order is not yet in place.")
@deadline_option
@lab_option
@json_option
@inventories_option
def apply(**asked: Any) -> None:  # noqa: ANN401 click's own
    """Make the commune's machines what its inventory says: the gateway, then servers, then the rest at once.

    The work is shipped to each machine and runs there: the line may drop, the laptop may be closed. Where the same
    order is at work already, apply follows it instead of beginning anew. A machine that fails stops what depends on
    it, not its siblings. A second apply changes nothing.

    What can cut you off (addresses, routes, firewall, sshd, the support account) is under guard: the machine rolls it
    back by itself unless this laptop then comes in over a new connection. Where the laptop is away at that moment,
    the run ends there as failed: apply again.

    With --lab it is also the preparation: what the machines fetch stays in this laptop's cache, and is written down.
    Then --offline needs no Internet, neither at the commune nor here; `lienxa cache status` says if all is there.
    """
    _run("apply", **asked)


@click.command()
@commune_argument()
@machine_option
@role_option
@lab_option
@click.option("--junit", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Also as JUnit XML.")
@click.option("--html", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Also as one HTML page.")
@json_option
@inventories_option
def verify(junit: Path | None, html: Path | None, **asked: Any) -> None:  # noqa: ANN401 click's own
    """Prove that the commune works: every role's checks, run on the machines, with real packets between them.

    Each failure says the next step. What depends on a failed base is skipped, with the reason.
    """
    _run("verify", **asked, junit=junit, html=html)


def _run(
    action: Action,
    *,
    commune: str,
    machines: tuple[str, ...],
    roles: tuple[str, ...],
    lab: bool,
    as_json: bool,
    inventories: Path,
    offline: bool = False,
    failed: bool = False,
    deadline: float | None = None,
    junit: Path | None = None,
    html: Path | None = None,
) -> None:
    commune_folder(inventories, commune)
    with troubles():
        target = open_target(inventories, commune, lab=lab)
        wanted = known(machines, (*target.managed, *_points(target, action)), "machine", commune)
        only = known(roles, target.roles, "role", commune)
        need_lab(commune) if lab else _record_addresses(target, action)
        if failed:
            wanted = left_to_do(target, wanted or target.managed)
            if not wanted:
                _nothing_left(commune, as_json=as_json)
                return
        with _packages(action, target, offline=offline) as (port, sources):
            proxy = f"http://127.0.0.1:{ON_MACHINE_PROXY_PORT}" if port else None
            sent = requests(target, action, machines=wanted, roles=only, package_proxy=proxy, package_sources=sources)
            picture = Picture(sent)
            begun = time.monotonic()
            try:
                follow(target, jobs(sent, port), picture, deadline, as_json=as_json)
            except KeyboardInterrupt:
                click.echo(_STILL_ON.format(commune=commune, lab=" --lab" if lab else ""), err=True)
                raise
        line = summary(action, commune, picture, time.monotonic() - begun)
        rehearsed = lab and action == "apply" and not (offline or wanted or only)
        if rehearsed and exit_code(picture) == DONE:
            record_rehearsal(target, changed=line["changed"] > 0)
    notes = (*ending(target.site.authorities, datetime.now(UTC)), *_not_probed(target, action, sent, machines, roles))
    _write_reports(junit, html, target, picture)
    _print(action, picture, line, notes, as_json=as_json)
    click.get_current_context().exit(exit_code(picture))


def _not_probed(
    target: Target, action: Action, sent: Mapping[str, Request], machines: tuple[str, ...], roles: tuple[str, ...]
) -> tuple[str, ...]:
    return not_probed(target, sent) if action == "verify" and not (machines or roles) else ()


@contextmanager
def _packages(
    action: Action, target: Target, *, offline: bool
) -> Iterator[tuple[int | None, Mapping[str, tuple[str, ...]]]]:
    """The port of this laptop's package cache, for an apply, and where packages come from when it is offline."""
    if action != "apply":
        yield None, {}
        return
    with cache_in_use(offline=offline) as port:
        yield port, prepared(target, port).sources() if offline else {}


def need_lab(commune: str) -> None:
    """Raises OutOfReach where the commune's lab is down."""
    from deploy import lab  # noqa: PLC0415 slow to import, and for --lab alone

    if not lab.status(commune):
        raise OutOfReach(f"the lab of {commune} is down; lienxa lab up {commune}")


def _record_addresses(target: Target, action: Action) -> None:
    """What is given out for good is written down before anything is told of it."""
    if action == "apply":
        for file in write_plan(target.inventory, (target.commune,)):
            click.echo(f"{file}: new addresses recorded; commit it", err=True)


def _points(target: Target, action: Action) -> tuple[str, ...]:
    return tuple(vantage_points(target)) if action == "verify" else ()


def jobs(sent: Mapping[str, Request], port: int | None) -> list[Job]:
    """A job per request; `port` is that of the laptop's package cache."""
    return [Job(machine, request, port) for machine, request in sent.items()]


def follow(
    target: Target, asked: Sequence[Job], picture: Picture, deadline: float | None = None, *, as_json: bool
) -> None:
    """Do the jobs and show them as they go; `picture` then knows how they ended."""
    # --deadline counts for a machine from when its own work begins: it may have to wait for the gateway first.
    patience = replace(patience_for(asked), deadline=deadline)
    kits = Kits(files=target.inventory.handed.files)
    if as_json:
        run_fleet(asked, target.access, _both(picture, JsonLines(sys.stdout)), kits=kits, patience=patience)
        return
    with progress(make_console(), picture) as shown:
        run_fleet(asked, target.access, _both(picture, shown), kits=kits, patience=patience)


def conclude(
    verb: Verb,
    commune: str,
    picture: Picture,
    begun: float,
    show: Callable[[dict[str, Any]], object],
    *,
    as_json: bool,
) -> None:
    """Say what came of it and exit with its code. `begun`: by the monotonic clock; `show` says it to people."""
    line = summary(verb, commune, picture, time.monotonic() - begun)
    if as_json:
        JsonLines(sys.stdout).line(line)
    else:
        show(line)
    click.get_current_context().exit(exit_code(picture))


def _nothing_left(commune: str, *, as_json: bool) -> None:
    if as_json:
        JsonLines(sys.stdout).line(summary("apply", commune, Picture(()), 0))
    else:
        click.echo(f"{commune}: nothing is left to do; every machine has the present order.")


def _both(first: Listener, second: Listener) -> Listener:
    def listen(update: Update) -> None:
        first(update)
        second(update)

    return listen


def _print(
    action: Action, picture: Picture, line: Mapping[str, Any], notes: tuple[str, ...], *, as_json: bool
) -> None:
    if as_json:
        lines = JsonLines(sys.stdout)
        for note in notes:
            lines.line({"event": "note", "text": note})
        lines.line(line)
        return
    console = make_console()
    if action == "plan":
        print_plan(console, picture)
    print_outcome(console, picture, line, notes)


def _write_reports(junit: Path | None, html: Path | None, target: Target, picture: Picture) -> None:
    if junit:
        junit.write_text(junit_xml(target.site, picture), encoding="utf-8")
    if html:
        html.write_text(html_page(target.site, picture), encoding="utf-8")
