"""Options of the role `base`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deploy.inventory.role import Options as BaseOptions


class Options(BaseOptions):
    """Inputs of `base`."""

    timezone: str = Field(
        default="Asia/Ho_Chi_Minh",
        pattern=r"^[A-Za-z]+(/[A-Za-z0-9_+-]+)*$",
        description="Time zone, a name of the IANA database.",
    )
    language: Literal["vi_VN.UTF-8", "en_US.UTF-8"] = Field(
        default="vi_VN.UTF-8",
        description="Language of the machine (LANG) for who has not chosen one. Both are always generated.",
    )
    upgrades_at: str = Field(
        default="20:00",
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
        description="Local time (HH:MM) from which a machine fetches and installs security upgrades. One that was "
        "off at that hour does so after it is switched on.",
    )
    upgrades_spread: int = Field(
        default=60,
        ge=0,
        le=720,
        description="Minutes over which the commune's machines spread their upgrades, so that they do not fill the "
        "line all at once.",
    )
    upgrades_reboot: bool = Field(
        default=False,
        description="Whether a machine may restart by itself, within the window, when an upgrade asks for it and "
        "nobody is logged in.",
    )
    journal_size: int = Field(
        default=500,
        ge=50,
        le=50_000,
        description="Most that the machine's journal takes of the disk, in MiB.",
    )
    journal_days: int = Field(
        default=180,
        ge=1,
        le=3650,
        description="Days for which the journal is kept, as far as `journal_size` allows.",
    )
    package_cache: str | None = Field(
        default=None,
        pattern=r"^(direct|http://[A-Za-z0-9.\-\[\]:]+:[0-9]+/?)$",
        description="HTTP proxy through which APT fetches packages, `http://host:port`, or `direct`. Default: the "
        "commune's own cache while it answers, else directly.",
    )
