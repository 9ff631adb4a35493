"""Options of the role `desktop`. Who signs in stands in `people[].machines`, printers among `machines`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deploy.inventory.role import Options as BaseOptions


class Options(BaseOptions):
    """Inputs of `desktop`."""

    form: Literal["auto", "full", "light"] = Field(
        default="auto",
        description="`light`: no Impress, windows without shadows. "
        "`auto`: light on a machine with less than 2 GB of memory or 16 GB of disk, else full.",
    )
    suite: bool = Field(
        default=True,
        description="Whether LibreOffice is installed, in Vietnamese and with the page of Decree 30/2020. One that "
        "is there already is not removed.",
    )
    typing: Literal["telex", "vni"] = Field(
        default="telex",
        description="How Vietnamese is typed by who has not chosen otherwise in Unikey's menu.",
    )
    lock_minutes: int = Field(
        default=15,
        ge=1,
        le=60,
        description="Minutes without a hand on mouse or keyboard after which the screen locks itself.",
    )
    usb_storage: Literal["allow", "read_only", "deny"] = Field(
        default="allow",
        description="What people may do with disks and sticks on USB: use them (programs on them never run), only "
        "read them, or nothing. Support may always.",
    )
    font_size: int = Field(
        default=14,
        ge=13,
        le=14,
        description="Size of text in a new document, in points; Decree 30/2020 allows 13 and 14.",
    )
