"""Looks into attachments where the option `antivirus` says so: ClamAV, with signatures that freshclam fetches.

ClamAV does not start without signatures, and the first ones take a slow line its time: it is started once they are
there, and until then mail is judged without it.
"""

from __future__ import annotations

from deploy.runner.context import Context
from deploy.runner.operations import absent, place, unit
from deploy.runner.operations.systemd import retired
from roles.mail.options import Options

PACKAGES = ("clamav-daemon", "clamav-freshclam")
SIGNATURES = "/var/lib/clamav"
SOCKET = "/run/clamav/clamd.ctl"
STARTER = "/etc/systemd/system/lienxa-clamav.path"


def configure(ctx: Context[Options]) -> None:
    """What starts it."""
    if ctx.options.antivirus:
        place(ctx, STARTER, values={"signatures": SIGNATURES})
    else:
        retire(ctx)


def activate(ctx: Context[Options]) -> None:
    """Who fetches, and who waits for it."""
    if ctx.options.antivirus:
        unit("clamav-freshclam")
        unit("lienxa-clamav.path", files=[STARTER])


def retire(ctx: Context[Options]) -> None:
    """Signatures stay."""
    for name in ("lienxa-clamav.path", "clamav-daemon.socket", "clamav-daemon", "clamav-freshclam"):
        retired(name)
    absent(STARTER)
