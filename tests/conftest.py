"""What all tests have in common."""

from __future__ import annotations

from hypothesis import settings

# A test never fails on a clock: machines are busy.
settings.register_profile("lienxa", deadline=None)
settings.load_profile("lienxa")
