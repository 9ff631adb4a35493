"""The `lienxa` command, whose lines to the lab's machines go through the bad line. Run as a program of its own.

LIENXA_LINES: JSON, port on loopback by machine. A machine that is not named goes through the gateway as jump host.
"""

from __future__ import annotations

import dataclasses
import json
import os

from deploy import lab
from deploy.cli import main, runs
from deploy.fleet.access import Access
from deploy.fleet.patience import Patience
from deploy.inventory.site import Site
from deploy.lab.lab import access as lab_access


def bad_access(site: Site) -> Access:
    """As the lab's, with the bad line where one is."""
    ports = json.loads(os.environ["LIENXA_LINES"])
    plain = lab_access(site)
    return dataclasses.replace(
        plain,
        hosts=plain.hosts | dict.fromkeys(ports, "127.0.0.1"),
        ports=ports,
        behind=plain.behind - ports.keys(),
        proxy_command=None,
    )


def seeded(jobs: object) -> Patience:
    """The same pauses each time."""
    return dataclasses.replace(_patience_for(jobs), seed=int(os.environ.get("LIENXA_SEED", "1")))


_patience_for = runs.patience_for

if __name__ == "__main__":
    lab.access = bad_access
    runs.patience_for = seeded
    main()
