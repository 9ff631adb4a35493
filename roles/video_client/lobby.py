"""A room's lobby: a page on the machine's own loopback, and an account that is signed in by itself to show it."""

from __future__ import annotations

import json

from deploy.inventory.role import Kind
from deploy.inventory.site import Site, SiteMachine, SiteMeeting
from deploy.runner.context import Context
from deploy.runner.operations import absent, place, unit
from deploy.runner.operations.accounts import account
from deploy.runner.operations.checkers import CHECK_JSON, CHECK_SHELL
from deploy.runner.operations.systemd import retired
from roles.video_client import sip
from roles.video_client.chromium import LOBBY, LOBBY_PORT, lobby_policies
from roles.video_client.options import Options

USER = "lienxa-room"
FOLDER = "/usr/local/share/lienxa/lobby"
PAGE = f"{FOLDER}/index.html"
POLICY = "/etc/chromium/policies/managed/lienxa-lobby.json"
PROGRAM = "/usr/local/lib/lienxa/room"
SESSION = "/usr/share/xsessions/lienxa-room.desktop"
GREETER = "/etc/lightdm/lightdm.conf.d/60-lienxa-room.conf"
SERVER = "lienxa-lobby"
SERVER_UNIT = f"/etc/systemd/system/{SERVER}.service"
NIGHT = "lienxa-room-night"
NIGHT_UNIT = f"/etc/systemd/system/{NIGHT}.service"
NIGHT_TIMER = f"/etc/systemd/system/{NIGHT}.timer"
OF_THE_SESSION = (PROGRAM, SESSION, GREETER)
PLACED = (PAGE, POLICY, *OF_THE_SESSION, SERVER_UNIT, NIGHT_UNIT, NIGHT_TIMER)


def wanted(site: Site, machine: SiteMachine, options: Options) -> bool:
    """Whether this machine starts into a lobby. Where a telephone is to ring there, in any case."""
    asked = options.lobby or sip.service_of(site, machine) is not None
    return machine.kind is Kind.ROOM and asked and site.upstream.meeting is not None


def meetings(site: Site, machine: SiteMachine) -> tuple[SiteMeeting, ...]:
    """Those that are for this room."""
    return tuple(meeting for meeting in site.meetings if machine.name in meeting.machines)


def configure(ctx: Context[Options]) -> None:
    """The page, who serves it, and the session that shows it."""
    service = ctx.site.upstream.meeting
    if service is None or not wanted(ctx.site, ctx.machine, ctx.options):
        return
    account(USER, comment="Phòng họp")
    shown = [meeting.model_dump(exclude={"machines"}) for meeting in meetings(ctx.site, ctx.machine)]
    place(ctx, PAGE, values={"service": service, "meetings": shown})
    written = json.dumps(lobby_policies(service), ensure_ascii=False, indent=2)
    place(ctx, POLICY, content=f"{written}\n", validate=CHECK_JSON)
    place(ctx, SERVER_UNIT, values={"folder": FOLDER, "port": LOBBY_PORT})
    bell = f"{sip.PROGRAM} bell" if sip.service_of(ctx.site, ctx.machine) else None
    place(ctx, PROGRAM, mode="0755", values={"lobby": LOBBY, "bell": bell}, validate=CHECK_SHELL)
    place(ctx, SESSION, values={"program": PROGRAM})
    place(ctx, NIGHT_UNIT)
    place(ctx, NIGHT_TIMER)
    place(ctx, GREETER, values={"user": USER})
    sip.configure(ctx, USER)


def activate(ctx: Context[Options]) -> None:
    """It stands there from now on; whoever sat at the machine is signed out."""
    if wanted(ctx.site, ctx.machine, ctx.options):
        unit(SERVER, files=[SERVER_UNIT])
        unit(f"{NIGHT}.timer", files=[NIGHT_TIMER])
        unit("lightdm", files=list(OF_THE_SESSION))
        sip.activate(ctx)
    else:
        retire()


def retire() -> None:
    """The greeter again. The account has no password: nobody signs in to it."""
    sip.retire()
    retired(SERVER)
    retired(f"{NIGHT}.timer")
    for path in PLACED:
        absent(path)
