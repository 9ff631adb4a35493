"""`python3 -m deploy.runner RUN`: what the transient unit `lienxa-run.service` starts on a machine."""

from __future__ import annotations

import sys
from pathlib import Path

# Before anything imports pyinfra, and before a real paramiko of the machine's own, which would drag in its own kin.
sys.path.insert(0, str(Path(__file__).parent / "stubs"))

from deploy.runner.guarding import Guard
from deploy.runner.run import BAD_REQUEST, Stop, run, stopped_by_signals
from deploy.runner.stages import RoleSource
from deploy.site import ROLES


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
