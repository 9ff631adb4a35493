"""In place of gevent.pool: see the package."""

from __future__ import annotations


class Pool:
    """Made with every State; nothing is ever spawned in it."""

    def __init__(self, size: int | None = None) -> None:
        self.size = size
