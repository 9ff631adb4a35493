"""What goes wrong at the province, on purpose: a service out of reach or slow, the portal's certificate wrong."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from deploy.lab.province.settings import Settings

MODES = ("none", "away", "slow")
"""For every service; the portal may also have one of the wrong certificates, by the names of `Settings.bad_hosts`."""
SLOW_SECONDS = 15.0


def set_fault(service: str, mode: str, settings: Settings, state: Path, keys: Path) -> None:
    """From now on the service is so, until the next call."""
    bad = tuple(settings.bad_hosts) if service == "portal" else ()
    if service not in settings.addresses or mode not in (*MODES, *bad):
        allowed = f"{', '.join(settings.addresses)} and {', '.join((*MODES, *settings.bad_hosts))}"
        raise SystemExit(f"{service} {mode} is unknown; there are {allowed} (certificates are the portal's only)")
    _address(settings.addresses[service], there=mode != "away")
    _slow(service, state).unlink(missing_ok=True)
    if mode == "slow":
        _slow(service, state).touch()
    if service == "portal":
        _certificate(mode if mode in bad else "portal", keys)


def hold(service: str, state: Path) -> None:
    """Called before a service answers: waits where it is to be slow."""
    if _slow(service, state).exists():
        time.sleep(SLOW_SECONDS)


def _slow(service: str, state: Path) -> Path:
    return state / f"slow-{service}"


def _address(address: str, *, there: bool) -> None:
    """An address that is no longer there refuses nobody: packets to it find no machine."""
    subprocess.run(
        ["ip", "address", "replace" if there else "delete", f"{address}/32", "dev", "lo"],
        check=there,
        capture_output=True,
    )


def _certificate(name: str, keys: Path) -> None:
    link, part = keys / "served.pem", keys / "served.pem.part"
    if link.readlink() != Path(f"{name}.pem"):
        part.symlink_to(f"{name}.pem")
        part.replace(link)
        subprocess.run(["systemctl", "reload", "nginx.service"], check=True)
