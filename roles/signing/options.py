"""Options of the role `signing`. Authorities and vendors' modules stand in `province.yaml`, below `upstream`."""

from __future__ import annotations

from pydantic import Field, StrictBool

from deploy.inventory.role import Options as BaseOptions


class Options(BaseOptions):
    """Inputs of `signing`."""

    opensc: StrictBool = Field(
        default=True,
        description="Whether programs see cards through OpenSC. Without it where a vendor's module knows the same "
        "cards, and each certificate would be shown twice.",
    )
    time_stamps: str = Field(
        default="",
        pattern=r"^(https?://[!-~]+)?$",
        description="Address of the time-stamp service (RFC 3161) that signing programs use; the doctor asks it. "
        "Default: none is asked.",
    )
