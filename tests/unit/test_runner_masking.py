"""Secrets in whatever form do not get through."""

from __future__ import annotations

import base64
import json
import shlex
from urllib.parse import quote

import pytest

from deploy.runner.masking import MASK, Masking

SECRET = "Mật 'khẩu' \"x\" & y/z"


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        shlex.quote(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"{SECRET}\n".encode()).decode(),
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        quote(SECRET, safe=""),
    ],
)
def test_every_form_is_masked(form: str) -> None:
    masked = Masking([SECRET])(f"trước {form} sau")
    assert MASK in masked
    assert "khẩu" not in masked
    assert masked.startswith("trước ")
    assert masked.endswith(" sau")
    assert len(masked) < len("trước  sau") + len(MASK) + 3


def test_each_line_of_a_key_is_masked() -> None:
    key = "-----BEGIN KEY-----\nQUJDREVGR0hJSktM\n-----END KEY-----\n"
    diff = "".join(f"+{line}\n" for line in key.splitlines())
    assert "QUJDREVGR0hJSktM" not in Masking([key])(diff)


def test_short_values_are_left_alone() -> None:
    assert Masking(["abc", ""])("abc def") == "abc def"


def test_a_secret_within_another_leaves_no_rest() -> None:
    assert Masking(["matkhau", "matkhau-dai-hon"])("=matkhau-dai-hon=") == f"={MASK}="
