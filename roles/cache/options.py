"""Options of the role `cache`."""

from __future__ import annotations

from pydantic import Field

from deploy.inventory.role import Options as BaseOptions


class Options(BaseOptions):
    """Inputs of `cache`."""

    size: int = Field(
        default=6000,
        ge=200,
        le=500_000,
        description="Most that kept packages take of the disk, in MiB. What was not asked for longest goes first.",
    )
    keep_free: int = Field(
        default=2000,
        ge=100,
        le=500_000,
        description="What the cache leaves free of the disk, in MiB, also where that makes it smaller than `size`. "
        "Where not even 200 MiB are left for it, it works from memory alone.",
    )
    memory: int = Field(
        default=32,
        ge=8,
        le=8192,
        description="Memory for what is asked for most, in MiB. Without a disk it takes eight times as much.",
    )
