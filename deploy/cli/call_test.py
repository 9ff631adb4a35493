"""`lienxa call-test`: will the meeting hold? A machine calls itself by way of the service's echo room."""

from __future__ import annotations

import time
from pathlib import Path

import click

from deploy.cli.options import (
    commune_argument,
    commune_folder,
    inventories_option,
    json_option,
    known,
    lab_option,
    machine_option,
)
from deploy.cli.runs import conclude, follow, jobs, need_lab
from deploy.cli.troubles import troubles
from deploy.errors import UserError
from deploy.inventory.role import Kind
from deploy.inventory.site import Site
from deploy.order import CallTest
from deploy.report.calls import print_calls
from deploy.report.console import make_console
from deploy.report.picture import Picture
from deploy.target import open_target, requests

ROLE = "video_client"


@click.command("call-test")
@commune_argument()
@machine_option
@click.option(
    "--minutes",
    type=click.FloatRange(0.1, 15),
    default=2,
    show_default=True,
    help="How long the call is measured, once picture and sound flow.",
)
@click.option("--load", is_flag=True, help="Fill the commune's line meanwhile, both ways; in a lab only.")
@lab_option
@json_option
@inventories_option
def call_test(
    commune: str,
    machines: tuple[str, ...],
    minutes: float,
    load: bool,
    lab: bool,
    as_json: bool,
    inventories: Path,
) -> None:
    """Call the meeting service's echo room from a machine, and say how well picture and sound come through.

    The machine's own browser with its own policies opens upstream.meeting.echo, with its camera and microphone, or
    with generated picture and sound where it has none. Loss, jitter, round trip, frames and freezes of each way are
    judged by what ITU-T recommends (docs/meetings.md). Without --machine every room of the commune calls at once, as
    at 8 o'clock.
    """
    commune_folder(inventories, commune)
    if load and not lab:
        raise UserError(
            f"{commune}: --load fills the line, so that nobody there can work; only a lab has the other end.\n"
            f"Rehearse it: lienxa call-test {commune} --load --lab"
        )
    with troubles():
        target = open_target(inventories, commune, lab=lab)
        wanted = _callers(target.site, commune, known(machines, target.managed, "machine", commune))
        if lab:
            need_lab(commune)
        call = CallTest(seconds=minutes * 60, transfers=_transfers() if load else None)
        sent = requests(target, "call-test", machines=wanted, call=call)
        picture = Picture(sent)
        begun = time.monotonic()
        follow(target, jobs(sent, None), picture, as_json=as_json)
    conclude("call-test", commune, picture, begun, lambda _: print_calls(make_console(), picture), as_json=as_json)


def _callers(site: Site, commune: str, asked: tuple[str, ...]) -> tuple[str, ...]:
    """Who calls. Raises UserError where nobody can."""
    if site.upstream.meeting is None or site.upstream.meeting.echo is None:
        raise UserError(
            f"{commune}: province.yaml does not say where a call can be tried.\n"
            "Ask the service's operator for a page that sends picture and sound back, and add it: "
            "upstream.meeting.echo: https://…"
        )
    able = tuple(machine.name for machine in site.machines if ROLE in machine.roles)
    for name in asked:
        if name not in able:
            raise UserError(
                f"{name} has no role {ROLE}: nobody calls from there; there is: {', '.join(able) or 'none'}."
            )
    rooms = tuple(name for name in able if site.machine(name).kind is Kind.ROOM)
    if not (asked or rooms):
        raise UserError(f"{commune} has no room; say who calls with --machine: {', '.join(able) or 'none can'}.")
    return asked or rooms


def _transfers() -> str:
    """Where a lab takes and sends large transfers."""
    from deploy.lab.rehearsal import INTERNET, TRANSFERS  # noqa: PLC0415 slow to import, and for --lab alone

    return f"{INTERNET}:{TRANSFERS}"
