"""lienxa as the bench starts it: the command's own modules, on machines reached directly, with the bench's role.

`python -m tests.bench.lienxa_run FOLDER apply|verify`; FOLDER has `access.json` and the kit's content.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import cast

import deploy.cli  # noqa: F401 (what the command loads is part of what it costs)
from deploy.cli import runs
from deploy.fleet.access import Access
from deploy.fleet.kit import Kits
from deploy.fleet.ship import Job
from deploy.fleet.waves import run_fleet
from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.order import Order, Request, RoleOrder, new_run
from deploy.report.console import make_console, progress
from deploy.report.outcome import print_outcome
from deploy.report.picture import Picture
from deploy.report.summary import exit_code, summary
from deploy.site import CATALOG
from deploy.target import Action

COMMUNE = "xa-mau"


def main(folder: Path, action: Action) -> int:
    """One apply or verify, as `lienxa` does it. Returns its exit code."""
    begun = time.monotonic()
    facts = json.loads((folder / "access.json").read_text())
    site = resolve(load(Path(facts["inventories"]), CATALOG), COMMUNE).site
    access = Access(
        user=site.support.user,
        known_hosts=Path(facts["known_hosts"]),
        gateway=next(iter(facts["ports"])),
        hosts=dict.fromkeys(facts["ports"], "127.0.0.1"),
        ports=facts["ports"],
        identity=Path(facts["identity"]),
        commune=COMMUNE,
    )
    sent = {
        name: Request(
            run=new_run(),
            action=action,
            order=Order(machine=name, site=site, roles=(RoleOrder(name="bench", options={}),)),
            by="bench@laptop",
        )
        for name in facts["ports"]
    }
    picture = Picture(sent)
    with progress(make_console(), picture) as shown:
        jobs = [Job(name, request) for name, request in sent.items()]
        run_fleet(jobs, access, runs._both(picture, shown), kits=Kits(root=folder / "kit"))
    print_outcome(make_console(), picture, summary(action, COMMUNE, picture, time.monotonic() - begun), ())
    return exit_code(picture)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), cast("Action", sys.argv[2])))
