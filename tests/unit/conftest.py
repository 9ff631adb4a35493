"""What unit tests share."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.runner.pyinfra_api import ctx_host


@pytest.fixture
def said() -> Iterator[dict[type, Any]]:
    """What the machine answers to an operation that is called by hand, by fact."""
    answers: dict[type, Any] = {}
    before = ctx_host.get()
    ctx_host.set(SimpleNamespace(get_fact=lambda fact, **_: answers[fact]))
    yield answers
    ctx_host.set(before)
