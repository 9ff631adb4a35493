"""The public look-up screen: one site, no way out, and nothing left of the citizen before."""

from __future__ import annotations

from deploy.runner.context import Context
from deploy.runner.operations import absent, packages, place, unit
from deploy.runner.operations.accounts import account
from deploy.runner.operations.checkers import CHECK_SHELL
from roles.one_stop.options import OF_A_LOOK_UP_SCREEN, Options

USER = "lienxa-kiosk"
GREETER = "/etc/lightdm/lightdm.conf.d/60-lienxa-kiosk.conf"
SCREEN = "/etc/X11/xorg.conf.d/60-lienxa-kiosk.conf"
SESSION = "/usr/share/xsessions/lienxa-kiosk.desktop"
PROGRAM = "/usr/local/lib/lienxa/kiosk"
PLACED = (GREETER, SCREEN, SESSION, PROGRAM)


def install(ctx: Context[Options]) -> None:
    """What tells how long nobody has touched anything."""
    if ctx.options.kiosk:
        packages(ctx, *OF_A_LOOK_UP_SCREEN)


def configure(ctx: Context[Options]) -> None:
    """An account without a password that is signed in by itself, and its session."""
    if not ctx.options.kiosk:
        retire()
        return
    account(USER, comment="Màn hình tra cứu")
    place(ctx, PROGRAM, mode="0755", validate=CHECK_SHELL)
    place(ctx, SESSION, values={"program": PROGRAM})
    place(ctx, SCREEN)
    place(ctx, GREETER, values={"user": USER})


def activate(ctx: Context[Options]) -> None:
    """It stands there from now on; whoever sat at the machine is signed out."""
    if ctx.options.kiosk:
        unit("lightdm", files=list(PLACED))


def retire() -> None:
    """The greeter again. The account has no password: nobody signs in to it."""
    for path in PLACED:
        absent(path)
