"""Full or light: what a machine of this size gets."""

from __future__ import annotations

from typing import Literal

from deploy.inventory.site import Site
from deploy.runner.hardware import Hardware
from roles.desktop.options import Options

SUITE = ("hunspell-vi", "libreoffice-calc", "libreoffice-gtk3", "libreoffice-l10n-vi", "libreoffice-writer")
OF_RELEASE = {"12": ("fonts-liberation2",), "13": ()}
"""What one Debian release has under another name: its `fonts-liberation` has no Vietnamese letters in 12."""
SUITE_FULL = ("libreoffice-impress",)


def form(options: Options, hardware: Hardware) -> Literal["full", "light"]:
    """The form that the machine gets: as written, else by its size."""
    if options.form != "auto":
        return options.form
    return "light" if hardware.is_old else "full"


def warnings(options: Options, hardware: Hardware, site: Site) -> tuple[str, ...]:
    """What is said of a machine that is too old for the full form."""
    if not hardware.is_old:
        return ()
    gets = "the full form all the same" if form(options, hardware) == "full" else "the light form"
    return (f"an old machine ({'; '.join(hardware.shortcomings)}): it gets {gets}",)


def extra_packages(options: Options, hardware: Hardware, debian: str) -> tuple[str, ...]:
    """What is installed beside the card's packages; `debian` is the release."""
    found = OF_RELEASE.get(debian, ())
    if not options.suite:
        return found
    return (*found, *SUITE, *SUITE_FULL) if form(options, hardware) == "full" else (*found, *SUITE)
