"""What an official sits at: a light Xfce desktop that speaks Vietnamese, types it, prints it and keeps to Decree 30.

Who signs in stands in `people[].machines`; nobody of them administers the machine. Documents in Times New Roman and
Arial keep their lines with fonts of the same widths, the inventory's printers are there without a driver, the screen
locks itself, and what may be done with USB storage is the inventory's to say. A person who has left the machine's
list is locked out; the home stays.
"""

from __future__ import annotations

from deploy.inventory.role import Kept, Role, Secret, Unit
from deploy.inventory.site import Site
from roles.desktop.forms import SUITE, SUITE_FULL, warnings
from roles.desktop.options import Options

TYPING = ("fcitx5", "fcitx5-frontend-gtk3", "fcitx5-unikey")
FONTS = ("fonts-crosextra-caladea", "fonts-crosextra-carlito", "fonts-liberation", "fonts-noto-core")
"""Widths as in Cambria (Caladea), Calibri (Carlito), Times New Roman, Arial and Courier New (Liberation)."""
BROWSERS = ("chromium", "chromium-l10n", "firefox-esr", "firefox-esr-l10n-vi")
PAPER = ("avahi-daemon", "cups", "cups-filters", "evince", "ipp-usb", "sane-airscan", "simple-scan")
"""ipp-usb and Avahi, on the loopback alone, make printers and scanners on USB driverless too."""
SESSION = (
    "adwaita-icon-theme",
    "dbus-user-session",
    "gvfs",
    "librsvg2-common",
    "lightdm",
    "lightdm-gtk-greeter",
    "mate-polkit",
    "mousepad",
    "pipewire-pulse",
    "polkitd",
    "python3-dbus",
    "ristretto",
    "thunar",
    "thunar-archive-plugin",
    "thunar-volman",
    "udisks2",
    "wireplumber",
    "x11-xserver-utils",
    "xarchiver",
    "xdg-user-dirs",
    "xdg-utils",
    "xfce4-appfinder",
    "xfce4-notifyd",
    "xfce4-panel",
    "xfce4-pulseaudio-plugin",
    "xfce4-session",
    "xfce4-settings",
    "xfdesktop4",
    "xfwm4",
    "xscreensaver",
    "xserver-xorg",
)


def secrets(options: Options, site: Site) -> tuple[Secret, ...]:
    """A password for everybody who signs in somewhere; only those machines' orders hold it."""
    return tuple(
        Secret(
            f"password_{person.login}",
            f"Password of {person.name} at {', '.join(person.machines)}",
            length=12,
            machines=frozenset(person.machines),
        )
        for person in site.people
        if person.machines
    )


ROLE = Role(
    name="desktop",
    summary="A light desktop in Vietnamese: sessions, typing, fonts, browsers, office suite, printers, screen lock.",
    options=Options,
    packages=tuple(sorted((*TYPING, *FONTS, *BROWSERS, *PAPER, *SESSION))),
    optional=(*SUITE, *SUITE_FULL),
    units=(
        Unit("lightdm", "shows who may sign in"),
        Unit("cups", "prints"),
        Unit("avahi-daemon", "finds printers on USB"),
    ),
    keeps=(Kept("what people have in their homes", ("/home",)),),
    needs=("base",),
    secrets=secrets,
    warnings=warnings,
)
