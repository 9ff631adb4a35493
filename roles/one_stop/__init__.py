"""The one-stop system as officials meet it: browsers that know the province's portals, and a scanner with one button.

What portals there are, and what their origins may, is the province's to say (`upstream.portals`); Chromium and
Firefox are told by policy, so that nobody has to set up anything and nobody can wave a wrong certificate through.
Signing helpers listen on the machine's own loopback; the host firewall lets nobody else at them. A scanned dossier
is a colour PDF of 200 dpi or more under its code, in a folder that the portal's dialog for files leads to.
"""

from __future__ import annotations

from deploy.inventory.role import Role
from roles.one_stop.options import OF_A_LOOK_UP_SCREEN, Options

ROLE = Role(
    name="one_stop",
    summary="Browsers set up for the province's portals by policy, their start page, and scanning by one button.",
    options=Options,
    packages=(
        "chromium",
        "chromium-l10n",
        "firefox-esr",
        "firefox-esr-l10n-vi",
        "fonts-liberation",
        "fonts-noto-core",
        "icc-profiles-free",
        "img2pdf",
        "sane-utils",
        "zenity",
    ),
    optional=OF_A_LOOK_UP_SCREEN,
    needs=("base", "firewall"),
)
