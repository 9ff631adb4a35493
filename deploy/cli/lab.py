"""`lienxa lab`: any commune's inventory as containers."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from deploy.cli.options import commune_argument, commune_folder, inventories_option, json_option
from deploy.cli.troubles import troubles
from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.lab import lab as labs
from deploy.report.json_lines import JsonLines
from deploy.site import CATALOG, packages_of_desks


@click.group()
def lab() -> None:
    """Rehearse a commune in containers: its machines, its zones, and `tinh`, which stands for the province.

    Nothing of the lab can reach the Internet but through the laptop's package cache; `--lab` points every verb at it.
    """


@lab.command()
@commune_argument()
@click.option(
    "--debian", type=click.Choice(["12", "13"]), help="Where the inventory does not say which. Default: 13."
)
@click.option(
    "--prepared",
    is_flag=True,
    help="Desks come with their roles' packages installed, as somebody's workshop delivers them. Their apply is "
    "quicker, and leaves none of those packages in the laptop's cache.",
)
@inventories_option
def up(commune: str, debian: str | None, prepared: bool, inventories: Path) -> None:
    """Bring the commune's containers up; twice is harmless."""
    commune_folder(inventories, commune)
    with troubles():
        site = resolve(load(inventories, CATALOG), commune).site
        labs.up(site, debian=debian, at_desks=packages_of_desks() if prepared else (), listener=_say)
    _say("", f"the lab of {commune} is up. Next: lienxa apply {commune} --lab")


@lab.command()
@commune_argument()
def down(commune: str) -> None:
    """Take the containers down; nothing of them is left on this laptop, also after a crash half-way."""
    with troubles():
        was_there = labs.down(commune)
    _say("", f"the lab of {commune} {'is down' if was_there else 'was not up'}")


@lab.command(context_settings={"ignore_unknown_options": True})
@commune_argument()
@click.argument("machine")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def shell(ctx: click.Context, commune: str, machine: str, command: tuple[str, ...]) -> None:
    """Become root on a machine of the lab, or run a command there as root.

    The province's stand-in is the machine `tinh`.
    """
    with troubles():
        if not command:
            labs.shell(commune, machine)
        done = labs.run_in(commune, machine, command)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    ctx.exit(done.returncode)


@lab.command("status")
@commune_argument()
@json_option
def status_(commune: str, as_json: bool) -> None:
    """Show which machines of the lab are up."""
    with troubles():
        found = labs.status(commune)
    for machine in found:
        if as_json:
            JsonLines(sys.stdout).line({"event": "lab"} | asdict(machine))
        else:
            click.echo(f"{machine.machine:12} {machine.state:10} {machine.image}")
    if not found:
        _say("", f"the lab of {commune} is down; lienxa lab up {commune}")


def _say(machine: str, sentence: str) -> None:
    click.echo(f"{machine}: {sentence}" if machine else sentence, err=True)
