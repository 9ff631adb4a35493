"""A room's telephone by SIP: Debian's baresip under the room's own account, and its bell on the room's screen.

Who is called is the room, not a person: it has to ring while nobody is signed in. So the password is for the account
that shows the lobby, and for nobody else.
"""

from __future__ import annotations

from deploy.inventory.site import Site, SiteMachine, SiteSipService
from deploy.runner.context import Context
from deploy.runner.operations import absent, place, unit
from deploy.runner.operations.checkers import CHECK_PYTHON, CHECK_SHELL
from deploy.runner.operations.systemd import retired
from roles.video_client.options import Options

CONTROL_PORT = 8094
"""Where the telephone takes commands, on the machine's own loopback."""
TLS_PORT = 5061
"""Of SIP over TLS (RFC 3261, 19.1.2), where the inventory names none."""
FOLDER = "/etc/lienxa/sip"
CONFIG = f"{FOLDER}/config"
ACCOUNTS = f"{FOLDER}/accounts"
TLS = f"{FOLDER}/openssl.cnf"
PHONE = "/usr/local/lib/lienxa/sip-phone"
PROGRAM = "/usr/local/bin/lienxa-sip"
SERVICE = "lienxa-sip"
SERVICE_UNIT = f"/etc/systemd/system/{SERVICE}.service"
OF_THE_SERVICE = (CONFIG, ACCOUNTS, TLS, PHONE, SERVICE_UNIT)
PLACED = (*OF_THE_SERVICE, PROGRAM)
_ACCOUNT = '"[^"]+" <sip:[^;<> ]+;transport=[a-z]+>;auth_pass=[^;[:space:]]+;regint=60;[a-zA-Z0-9_,=;-]+'
CHECK_ACCOUNT = f"grep -Eqx '{_ACCOUNT}' {{}}"
"""baresip knows no way to write a password with a semicolon or a space in it."""


def service_of(site: Site, machine: SiteMachine) -> SiteSipService | None:
    """Where this machine's telephone registers; None where it has none."""
    return site.upstream.sip if machine.sip else None


def configure(ctx: Context[Options], user: str) -> None:
    """The telephone, which `user` runs and whose password nobody else reads."""
    service = service_of(ctx.site, ctx.machine)
    if service is None:
        return
    place(ctx, CONFIG, values={"service": service, "control": CONTROL_PORT})
    password, name = ctx.secrets[f"sip_{ctx.machine.sip}"], f"Phòng họp {ctx.site.commune.name}"
    account = {"service": service, "password": password, "name": name}
    place(ctx, ACCOUNTS, values=account, owner=user, secret=True, validate=CHECK_ACCOUNT)
    place(ctx, TLS)
    place(ctx, PHONE, mode="0755", values={"folder": FOLDER}, validate=CHECK_SHELL)
    place(ctx, PROGRAM, mode="0755", values={"service": service, "control": CONTROL_PORT}, validate=CHECK_PYTHON)
    place(ctx, SERVICE_UNIT, values={"user": user, "phone": PHONE, "tls": TLS})


def activate(ctx: Context[Options]) -> None:
    """It is registered from now on."""
    if service_of(ctx.site, ctx.machine):
        unit(SERVICE, files=list(OF_THE_SERVICE))
    else:
        retire()


def retire() -> None:
    """Nobody calls here any more."""
    retired(SERVICE)
    for path in (*PLACED, FOLDER):
        absent(path)
