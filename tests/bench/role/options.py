"""Inputs of the bench's role."""

from __future__ import annotations

from pydantic import Field

from deploy.inventory.role import Options as RoleOptions


class Options(RoleOptions):
    """What differs between the tools' ways of saying it: nothing but the greeting."""

    greeting: str = Field(default="xin chao", description="A word in every file.")
