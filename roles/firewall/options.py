"""Options of the role `firewall`."""

from __future__ import annotations

from pydantic import Field

from deploy.inventory.role import Options as BaseOptions


class Options(BaseOptions):
    """Inputs of `firewall`."""

    log_refused: bool = Field(
        default=False,
        description="Whether refused packets are written to the kernel's log, at most ten a minute.",
    )
