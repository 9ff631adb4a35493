"""In place of gevent.subprocess: see the package."""

from __future__ import annotations

from subprocess import PIPE, CalledProcessError, Popen, check_call

__all__ = ["PIPE", "CalledProcessError", "Popen", "check_call"]
