"""Rehearses any commune's inventory in containers, with a stand-in for the province at the far end of its lines."""

from deploy.errors import LabError
from deploy.lab.image import Listener
from deploy.lab.keys import facts
from deploy.lab.lab import MachineStatus, access, down, run_in, shell, status, up
from deploy.lab.rehearsal import TINH, LabFacts, rehearse

__all__ = [
    "TINH",
    "LabError",
    "LabFacts",
    "Listener",
    "MachineStatus",
    "access",
    "down",
    "facts",
    "rehearse",
    "run_in",
    "shell",
    "status",
    "up",
]
