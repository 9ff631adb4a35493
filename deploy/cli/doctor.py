"""`lienxa doctor`: what is wrong with a machine, in sentences."""

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
from deploy.report.console import make_console
from deploy.report.findings import Language, print_findings
from deploy.report.picture import Picture
from deploy.target import open_target, requests

TOPICS = ("network", "mail", "signing", "portal", "meeting")


@click.command()
@commune_argument()
@machine_option
@click.option(
    "--topic", "-t", "topics", type=click.Choice(TOPICS), multiple=True, help="Only this; may be given again."
)
@click.option(
    "--language", type=click.Choice(["en", "vi"]), default="en", show_default=True, help="Of the sentences."
)
@lab_option
@json_option
@inventories_option
def doctor(
    commune: str,
    machines: tuple[str, ...],
    topics: tuple[str, ...],
    language: str,
    lab: bool,
    as_json: bool,
    inventories: Path,
) -> None:
    """Ask the machines what is wrong, and say it: why it matters, what to do, which command does it.

    It looks and changes nothing. The network is looked at whatever the topic is: without it nothing else works. Where
    verify proves that all is as it should be, this tells one cause from what only follows from it.
    """
    commune_folder(inventories, commune)
    with troubles():
        target = open_target(inventories, commune, lab=lab)
        wanted = known(machines, target.managed, "machine", commune)
        if lab:
            need_lab(commune)
        sent = requests(target, "doctor", machines=wanted, topics=topics)
        picture = Picture(sent)
        begun = time.monotonic()
        follow(target, jobs(sent, None), picture, as_json=as_json)
    spoken: Language = "vi" if language == "vi" else "en"
    conclude(
        "doctor", commune, picture, begun, lambda _: print_findings(make_console(), picture, spoken), as_json=as_json
    )
