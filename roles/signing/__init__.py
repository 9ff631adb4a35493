"""Signing with a token: an official plugs it in, and every program sees it.

Readers that speak CCID work through pcscd and OpenSC; what a vendor's token needs besides comes from the inventory
(`upstream.modules`), compared by SHA-256. All of it is registered once, with p11-kit, which Chromium, Firefox,
Thunderbird and LibreOffice are shown. The province's authorities (`upstream.trust_anchors`) are believed in by the
system and by each of these programs. Who sits at the machine uses the reader, and nobody else.
"""

from __future__ import annotations

from deploy.inventory.role import Role, Unit
from roles.signing.options import Options

ROLE = Role(
    name="signing",
    summary="Tokens for digital signatures, seen by every program, and the province's authorities.",
    options=Options,
    packages=(
        "acl",
        "ca-certificates",
        "libccid",
        "libnss3-tools",
        "opensc",
        "openssl",
        "p11-kit",
        "pcscd",
        "polkitd",
    ),
    units=(
        Unit("pcscd.socket", "the way to the readers"),
        Unit("lienxa-reader-seat.path", "opens it to who sits at the screen"),
    ),
    needs=("base",),
)
