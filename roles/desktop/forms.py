"""Full or light: what a machine of this size gets."""

from __future__ import annotations

from typing import Literal

from deploy.runner.hardware import Hardware
from roles.desktop.options import Options

SUITE = ("hunspell-vi", "libreoffice-calc", "libreoffice-gtk3", "libreoffice-l10n-vi", "libreoffice-writer")
SUITE_FULL = ("libreoffice-impress",)


def form(options: Options, hardware: Hardware) -> Literal["full", "light"]:
    """The form that the machine gets: as written, else by its size."""
    if options.form != "auto":
        return options.form
    return "light" if hardware.is_old else "full"


def extra_packages(options: Options, hardware: Hardware) -> tuple[str, ...]:
    """What is installed beside the card's packages."""
    if not options.suite:
        return ()
    return (*SUITE, *SUITE_FULL) if form(options, hardware) == "full" else SUITE
