"""Applies the role `desktop`."""

from __future__ import annotations

from deploy.inventory.site import Site, SiteMachine
from deploy.runner.context import Context
from deploy.runner.operations import absent, packages, place, retire_units, unit
from deploy.runner.operations.accounts import console_password
from deploy.runner.operations.checkers import CHECK_SHELL, CHECK_XML
from deploy.runner.operations.people import people
from deploy.runner.operations.printing import Queue, printers
from roles.desktop import greeter, office
from roles.desktop.forms import extra_packages, form
from roles.desktop.options import Options

PEOPLE = "lienxa-people"
LIGHTDM = "/etc/lightdm/lightdm.conf.d/50-lienxa.conf"
GREETER = "/etc/lightdm/lightdm-gtk-greeter.conf.d/50-lienxa.conf"
TYPING_SESSION = "/etc/X11/Xsession.d/45lienxa-typing"
TYPING_START = "/etc/xdg/autostart/lienxa-typing.desktop"
TYPING_CONFIG = "/etc/xdg/fcitx5/config"
TYPING_PROFILE = "/etc/xdg/fcitx5/profile"
TYPING_UNIKEY = "/etc/xdg/fcitx5/conf/unikey.conf"
LOCK = "/etc/X11/Xresources/lienxa-lock"
LOCK_START = "/etc/xdg/autostart/lienxa-lock.desktop"
LOCK_SETTINGS = "/usr/local/share/applications/xscreensaver-settings.desktop"
WINDOWS = "/etc/xdg/xfce4/xfconf/xfce-perchannel-xml/xfwm4.xml"
PANEL = "/etc/xdg/xfce4/panel/default.xml"
PROGRAMS = "/etc/xdg/mimeapps.list"
PAPER_SIZE = "/etc/papersize"
CUPS = "/etc/cups/cupsd.conf"
AVAHI = "/etc/avahi/avahi-daemon.conf"
USB_RIGHTS = "/etc/polkit-1/rules.d/40-lienxa-usb-storage.rules"
USB_READ_ONLY = "/etc/udev/rules.d/70-lienxa-usb-storage.rules"
USB_MOUNTS = "/etc/udisks2/mount_options.conf"
OFFICE_DEFAULTS = "/usr/lib/libreoffice/share/registry/lienxa.xcd"

OF_THE_SESSION = (
    LIGHTDM,
    GREETER,
    greeter.CATALOGUE,
    TYPING_SESSION,
    TYPING_START,
    LOCK,
    LOCK_START,
    LOCK_SETTINGS,
    WINDOWS,
    USB_RIGHTS,
    USB_READ_ONLY,
    OFFICE_DEFAULTS,
)

CHECK_CUPS = "/usr/sbin/cupsd -t -c {}"


def install(ctx: Context[Options]) -> None:
    """Packages."""
    packages(ctx, *extra_packages(ctx.options, ctx.hardware, ctx.debian))


def configure(ctx: Context[Options]) -> None:
    """Who, how it looks and locks, how it is typed and printed, what USB may do."""
    _people(ctx)
    _session(ctx)
    _typing(ctx)
    _usb_storage(ctx)
    place(ctx, PAPER_SIZE, content="a4\n")
    place(ctx, CUPS, validate=CHECK_CUPS)
    place(ctx, AVAHI)
    if ctx.options.suite:
        place(ctx, office.TEMPLATE, content=office.template(ctx))
        place(ctx, OFFICE_DEFAULTS, values={"new_document": office.TEMPLATE}, validate=CHECK_XML)
    else:
        absent(OFFICE_DEFAULTS)


def activate(ctx: Context[Options]) -> None:
    """Sessions that are open stay open: the greeter reads its files when it is shown next."""
    unit("avahi-daemon", files=[AVAHI])
    unit("cups", files=[CUPS])
    printers(queues(ctx.site, ctx.machine), domain=ctx.site.domain)
    unit("lightdm")


def retire(ctx: Context[Options]) -> None:
    """No greeter and no printing any more. Accounts and homes stay; who is in the group is locked out."""
    retire_units(ctx)
    people(PEOPLE, {})
    for path in OF_THE_SESSION:
        absent(path)


def queues(site: Site, machine: SiteMachine) -> tuple[Queue, ...]:
    """The inventory's printers as this machine prints to them, those of its own zone first."""
    found = [one for one in site.machines if one.what == "printer"]
    found.sort(key=lambda one: (one.zone != machine.zone, one.name))
    return tuple(Queue(one.name, f"ipp://{one.fqdn}/ipp/print", one.zone) for one in found)


def panel_programs(site: Site, options: Options) -> tuple[str, ...]:
    """What the panel starts with one click, by the names of the programs' own entries."""
    office_programs = ("libreoffice-writer", "libreoffice-calc") if options.suite else ()
    meeting = ("lienxa-meeting",) if site.upstream.meeting else ()
    return ("thunar", "chromium", "firefox-esr", *office_programs, *meeting)


def _people(ctx: Context[Options]) -> None:
    here = [person for person in ctx.site.people if ctx.machine.name in person.machines]
    people(PEOPLE, {person.login: person.name for person in here})
    for person in here:
        console_password(person.login, ctx.secrets[f"password_{person.login}"])


def _session(ctx: Context[Options]) -> None:
    place(ctx, LIGHTDM)
    place(ctx, GREETER)
    place(ctx, greeter.CATALOGUE, content=greeter.catalogue())
    place(ctx, LOCK)
    place(ctx, LOCK_START)
    place(ctx, LOCK_SETTINGS)
    place(ctx, PROGRAMS)
    place(ctx, PANEL, values={"programs": panel_programs(ctx.site, ctx.options)}, validate=CHECK_XML)
    if form(ctx.options, ctx.hardware) == "light":
        place(ctx, WINDOWS, validate=CHECK_XML)
    else:
        absent(WINDOWS)


def _typing(ctx: Context[Options]) -> None:
    place(ctx, TYPING_SESSION, validate=CHECK_SHELL)
    place(ctx, TYPING_START)
    place(ctx, TYPING_CONFIG)
    place(ctx, TYPING_PROFILE)
    place(ctx, TYPING_UNIKEY, values={"method": {"telex": "Telex", "vni": "VNI"}[ctx.options.typing]})


def _usb_storage(ctx: Context[Options]) -> None:
    place(ctx, USB_MOUNTS)
    if ctx.options.usb_storage == "deny":
        place(ctx, USB_RIGHTS, values={"people": PEOPLE})
    else:
        absent(USB_RIGHTS)
    if ctx.options.usb_storage == "read_only":
        place(ctx, USB_READ_ONLY)
    else:
        absent(USB_READ_ONLY)
