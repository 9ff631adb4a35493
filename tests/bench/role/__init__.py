"""The bench's own role: the 57 tasks as lienxa does them. Shipped by the bench's kit alone."""

from __future__ import annotations

from deploy.inventory.role import Role
from roles.bench.options import Options

ROLE = Role("bench", "the 57 tasks that lienxa is measured with", Options)
