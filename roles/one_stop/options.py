"""Options of the role `one_stop`. Which portals there are stands in `upstream.portals` of province.yaml."""

from __future__ import annotations

from pydantic import Field, StrictBool, StrictInt

from deploy.inventory.role import Options as BaseOptions
from deploy.inventory.urls import Url

OF_A_LOOK_UP_SCREEN = ("xprintidle",)
"""Packages that only such a machine needs: what tells how long nobody has touched anything."""


class Options(BaseOptions):
    """Inputs of `one_stop`."""

    remember_passwords: StrictBool = Field(
        default=False,
        description="Whether the browsers offer to keep passwords on the machine. A counter that several people "
        "share is better off without.",
    )
    scan_resolution: StrictInt = Field(
        default=200,
        ge=200,
        le=600,
        description="Dots per inch of a scanned dossier. Default: 200, the least that the national rules take.",
    )
    scan_folder: str = Field(
        default="Hồ sơ quét",
        pattern=r'^[^/.\s"\\$`][^/"\\$`]*$',
        description="Folder in a person's home where scans go; it stands in the side bar of Chromium's dialog for "
        "files.",
    )
    kiosk: Url | None = Field(
        default=None,
        description="Makes the machine a public look-up screen: this page and its site, no way out, and nothing left "
        "of the citizen before. Such a machine is for nothing else.",
    )
    kiosk_clear_seconds: StrictInt = Field(
        default=60,
        ge=10,
        le=900,
        description="Seconds without a touch after which a look-up screen begins anew.",
    )
