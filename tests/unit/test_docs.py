"""The made pages are current, complete, and say what the models say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from deploy import docs_maker
from deploy.cli.group import VERBS
from deploy.site import ROLES


def test_pages_are_current() -> None:
    done = subprocess.run([sys.executable, "-m", "deploy.docs_maker", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_stale_missing_and_left_over_pages_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(docs_maker, "DOCS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["docs_maker"])
    assert docs_maker.main() == 0
    monkeypatch.setattr(sys, "argv", ["docs_maker", "--check"])
    assert docs_maker.main() == 0
    (tmp_path / "options.md").write_text("old")
    (tmp_path / "verbs" / "lienxa-apply.md").unlink()
    (tmp_path / "verbs" / "lienxa-gone.md").write_text("x")
    assert docs_maker.main() == 1
    said = capsys.readouterr().err
    for page in ("options.md", "verbs/lienxa-apply.md", "verbs/lienxa-gone.md"):
        assert f"docs/{page} is stale" in said


def test_every_verb_has_a_page_and_every_role_a_section() -> None:
    pages = docs_maker.pages()
    for verb in set(VERBS) - {"schema"}:
        assert f"verbs/lienxa-{verb}.md" in pages
    for role in ROLES.values():
        assert f"## {role.name}\n\n{role.summary}" in pages["options.md"]


def test_every_option_is_described() -> None:
    rows = [line for line in docs_maker.pages()["options.md"].splitlines() if line.startswith("| `")]
    assert rows
    assert [row for row in rows if row.endswith("|  |")] == []


class _Window(BaseModel):
    start: str = Field("02:00", pattern="^[0-9:]+$", description="When it begins.")


class _Sample(BaseModel):
    seconds: int = Field(ge=1, le=60, description="How | long.")
    window: _Window = Field(_Window(), description="When.")
    names: dict[str, _Window] = Field({}, description="By name.")
    lists: list[int] | None = Field(None, description="Numbers.")


def test_rows_say_type_limits_default_and_path() -> None:
    assert list(docs_maker.rows(_Sample)) == [
        ("`seconds`", "whole number (≥ 1, ≤ 60)", "required", "How | long."),
        ("`window`", "map", '`{"start": "02:00"}`', "When."),
        ("`window.start`", "text (like `^[0-9:]+$`)", '`"02:00"`', "When it begins."),
        ("`names`", "map", "`{}`", "By name."),
        ("`names.KEY.start`", "text (like `^[0-9:]+$`)", '`"02:00"`', "When it begins."),
        ("`lists`", "list of whole number or nothing", "none", "Numbers."),
    ]
