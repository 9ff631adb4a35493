"""Keeps secret values out of everything that is written down: commands, diffs, output, errors."""

from __future__ import annotations

import base64
import json
import re
import shlex
import urllib.parse
from collections.abc import Iterable

MASK = "******"
SHORTEST = 4
"""Values shorter than this are not masked: they would blot out half of every text, and protect nothing."""
_SHORTEST_LINE = 8
"""A line of a multi-line secret (a private key) is masked on its own from this length on."""


class Masking:
    """Replaces every form in which a secret may turn up by `******`."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets for form in _forms(secret) if len(form) >= SHORTEST}
        # Longest first: a secret that contains another one is replaced as a whole.
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(re.escape(form) for form in ordered)) if ordered else None

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        return self._pattern.sub(MASK, text) if self._pattern else text


def _forms(secret: str) -> set[str]:
    if len(secret) < SHORTEST:
        return set()
    forms = {secret, secret.strip()}
    forms |= {line.strip() for line in secret.splitlines() if len(line.strip()) >= _SHORTEST_LINE}
    return {written for form in forms for written in _written(form)}


def _written(form: str) -> Iterable[str]:
    yield form
    yield shlex.quote(form)
    yield shlex.quote(form).strip("'")
    yield json.dumps(form)[1:-1]
    yield json.dumps(form, ensure_ascii=False)[1:-1]
    yield urllib.parse.quote(form, safe="")
    yield base64.b64encode(form.encode()).decode()
    yield base64.b64encode(f"{form}\n".encode()).decode()
