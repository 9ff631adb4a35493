"""The soak in small: a few cuts at seeded random moments of one apply. `make soak SEED=…` is the whole of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from commune import in_lab
from soak import soak

pytestmark = pytest.mark.lab


def test_cuts_at_random_moments_of_an_apply(tmp_path: Path) -> None:
    with in_lab(tmp_path, f"xa-bao{os.getpid()}", keep=frozenset({"gw1", "srv1"})) as commune:
        outcome = soak(commune, seed=3, cuts=10, mean=3.0, rate=2_000_000)
    assert outcome.good, str(outcome)
