"""What every machine has: name, time, language, support account, SSH, upgrades."""

from __future__ import annotations

from deploy.inventory.role import Role
from roles.base.options import Options

ROLE = Role(
    name="base",
    summary="What every machine has: name, time, language, support account, SSH, upgrades.",
    options=Options,
)
