"""`python3 -m deploy.runner RUN`: what the transient unit `lienxa-run.service` starts on a machine."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

# Modules are made to stay: looking through them for garbage while they come is a fifth of the time they take.
gc.disable()
# Before anything imports pyinfra, and before a real paramiko of the machine's own, which would drag in its own kin.
sys.path.insert(0, str(Path(__file__).parent / "stubs"))

# Nor is it looked for plug-ins of pydantic in every package.
os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"

from deploy.runner.deferred import deferred  # noqa: E402

# pyinfra compares with these what a deploy file requires, which nobody asks here. They compile large regular
# expressions: a sixth of all that a run imports.
with deferred("packaging.markers", "packaging.requirements", "packaging.specifiers"):
    import pyinfra.api.config  # noqa: F401

from deploy.runner.guarding import Guard  # noqa: E402
from deploy.runner.run import BAD_REQUEST, Stop, run, stopped_by_signals  # noqa: E402
from deploy.runner.stages import RoleSource  # noqa: E402
from deploy.site import ROLES  # noqa: E402

gc.freeze()
gc.enable()


def main(arguments: list[str]) -> int:
    """Do one run. Returns an exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python3 -m deploy.runner RUN\n")
        return BAD_REQUEST
    stop = Stop()
    with stopped_by_signals(stop):
        return run(arguments[0], RoleSource(ROLES), stop=stop, guards=Guard)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
