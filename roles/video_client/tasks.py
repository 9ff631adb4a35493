"""Applies the role `video_client`."""

from __future__ import annotations

import json

from deploy.inventory.site import SiteMeetingService
from deploy.inventory.token_policies import ROLE as SIGNING
from deploy.inventory.token_policies import chromium_policies
from deploy.runner.context import Context
from deploy.runner.operations import absent, packages, place
from deploy.runner.operations.authorities import authorities
from deploy.runner.operations.checkers import CHECK_JSON, CHECK_SHELL
from roles.video_client import SIP_PACKAGES, lobby, sip
from roles.video_client.chromium import policies
from roles.video_client.options import Options

POLICY = "/etc/chromium/policies/managed/lienxa-meeting.json"
ECHO = "/etc/pipewire/pipewire.conf.d/60-lienxa-echo.conf"
JOIN = "/usr/local/bin/lienxa-meeting"
LAUNCHER = "/usr/share/applications/lienxa-meeting.desktop"
SESSION = "/usr/local/lib/lienxa/meeting-session"
SESSION_START = "/etc/xdg/autostart/lienxa-meeting.desktop"
BELIEVED = "/etc/chromium/policies/managed/lienxa-meeting-authorities.json"
PLACED = (POLICY, BELIEVED, ECHO, JOIN, LAUNCHER, SESSION, SESSION_START)


def install(ctx: Context[Options]) -> None:
    """Packages."""
    packages(ctx, *(SIP_PACKAGES if sip.service_of(ctx.site, ctx.machine) else ()))


def configure(ctx: Context[Options]) -> None:
    """Who may see and hear, what is clicked on, how it sounds."""
    service = ctx.site.upstream.meeting
    if service is None:
        _retire()
        return
    _believed(ctx)
    _program(ctx, service)
    _sound(ctx)
    lobby.configure(ctx)


def activate(ctx: Context[Options]) -> None:
    """Browsers and sessions read theirs when they are started next."""
    lobby.activate(ctx)


def retire(ctx: Context[Options]) -> None:
    """What people said and saved at the service is not here."""
    lobby.retire()
    _retire()


def _believed(ctx: Context[Options]) -> None:
    """A room has no role for signatures, which would have seen to it that the service's certificate is believed."""
    if SIGNING in ctx.machine.roles:
        absent(BELIEVED)
    else:
        authorities(ctx, ctx.site.authorities)
        written = json.dumps(chromium_policies(ctx.site), indent=2)
        place(ctx, BELIEVED, content=f"{written}\n", validate=CHECK_JSON)


def _program(ctx: Context[Options], service: SiteMeetingService) -> None:
    written = json.dumps(policies(service, lobby=lobby.wanted(ctx.site, ctx.machine, ctx.options)), indent=2)
    place(ctx, POLICY, content=f"{written}\n", validate=CHECK_JSON)
    place(ctx, JOIN, mode="0755", values={"service": service}, validate=CHECK_SHELL)
    place(ctx, LAUNCHER, values={"program": JOIN, "service": service})


def _sound(ctx: Context[Options]) -> None:
    if ctx.options.echo_cancellation:
        place(ctx, ECHO)
    else:
        absent(ECHO)
    place(ctx, SESSION, mode="0755", values={"launcher": LAUNCHER}, validate=CHECK_SHELL)
    place(ctx, SESSION_START, values={"program": SESSION})


def _retire() -> None:
    for path in PLACED:
        absent(path)
