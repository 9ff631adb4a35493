"""Proves that ClamAV looks into attachments, where the option `antivirus` says so.

Part of `checks.py`, which names every check of this module.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from deploy.inventory.site import Site, SiteMachine
from deploy.runner.checking import each
from roles.mail.options import Options
from roles.mail.virus import SIGNATURES, SOCKET

# Written in parts, so that no scanner takes this file for what it sends.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}" + b"$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
MOST_DAYS = 7
_LOOK = "On {machine}: `journalctl -u clamav-freshclam -u clamav-daemon -n 50`; the first signatures are some 300 MB."
_SECONDS = 20


def _antivirus(site: Site, machine: SiteMachine, options: Options) -> list[str]:
    return ["ClamAV"] if options.antivirus else []


@pytest.mark.next_step(_LOOK)
@each(_antivirus)
def test_viruses_are_found(scanner: str) -> None:
    """{scanner} on {machine} finds the virus that all scanners know as a test (EICAR)."""
    with socket.socket(socket.AF_UNIX) as clamd:
        clamd.settimeout(_SECONDS)
        clamd.connect(SOCKET)
        # clamd(8): a length in network order before each part, and an empty one at the end.
        clamd.sendall(b"zINSTREAM\0" + len(EICAR).to_bytes(4) + EICAR + bytes(4))
        said = clamd.recv(1024).rstrip(b"\0").decode()
    assert said.endswith("FOUND"), said


@pytest.mark.next_step(_LOOK)
@each(_antivirus)
def test_signatures_are_young(scanner: str) -> None:
    """The signatures of {scanner} on {machine} are of the last days."""
    files = list(Path(SIGNATURES).glob("daily.*"))
    assert files, f"there are none in {SIGNATURES}"
    days = (time.time() - max(file.stat().st_mtime for file in files)) / 86400
    assert days < MOST_DAYS, f"they are {days:.0f} days old"
