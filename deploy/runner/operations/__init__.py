"""Our own pyinfra operations: atomic validated files, packages without side effects, units that converge.

They are plain operations over facts and shell commands, so they also work with the stock `pyinfra` command over SSH.
"""

from __future__ import annotations

from deploy.runner.operations.apt import packages
from deploy.runner.operations.files import absent, directory, no_others, place
from deploy.runner.operations.script import Script
from deploy.runner.operations.systemd import retire_units, unit, units

__all__ = ["Script", "absent", "directory", "no_others", "packages", "place", "retire_units", "unit", "units"]
