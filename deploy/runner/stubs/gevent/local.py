"""In place of gevent.local: see the package."""

from __future__ import annotations

from threading import local

__all__ = ["local"]
