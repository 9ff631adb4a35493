"""Stands in for three of packaging's modules on the machine; all others are the real ones.

pyinfra imports them to compare what a deploy file requires with what is installed, which nobody asks here. The real
ones compile large regular expressions: a sixth of all that a run imports.
"""

from __future__ import annotations

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
