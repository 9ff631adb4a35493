"""Options of the role `support_path`."""

from __future__ import annotations

from pydantic import Field, StrictInt

from deploy.inventory.role import Options as BaseOptions


class Options(BaseOptions):
    """Inputs of `support_path`."""

    keepalive_seconds: StrictInt = Field(
        default=25,
        ge=10,
        le=120,
        description="Seconds after which the gateway says something where nothing else was said, so that the boxes "
        "of carriers go on letting answers in.",
    )
