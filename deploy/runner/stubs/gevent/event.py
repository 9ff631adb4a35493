"""In place of gevent.event: see the package."""

from __future__ import annotations

from threading import Event

__all__ = ["Event"]
