"""Every mistake that is refused, with the words in which it is.

Each folder below `bad/` is an inventory of its own with `expected.txt` beside it: what `lienxa check --inventories`
says of it, file names without the folder. A new case: write the folder, read what comes out, keep it if it is good.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.inventory.loading import BadInventory, Problem, load
from deploy.inventory.resolve import resolve
from deploy.site import CATALOG

BAD = Path(__file__).parent / "bad"
CASES = sorted(path.name for path in BAD.iterdir())


@pytest.mark.parametrize("case", CASES)
def test_refused_with_these_words(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD / case)
    with pytest.raises(BadInventory) as caught:
        load(Path(), CATALOG)
    assert f"{caught.value}\n" == (BAD / case / "expected.txt").read_text(encoding="utf-8")


def test_all_mistakes_of_all_files_are_said_at_once() -> None:
    with pytest.raises(BadInventory) as caught:
        load(BAD / "many-at-once", CATALOG)
    assert len(caught.value.problems) == 7
    assert {Path(problem.file).relative_to(BAD / "many-at-once") for problem in caught.value.problems} == {
        Path("province.yaml"),
        Path("xa-mau/commune.yaml"),
        Path("xa-khac/commune.yaml"),
    }


def test_a_folder_that_is_not_there() -> None:
    with pytest.raises(BadInventory, match=r"province\.yaml:1: there is no such folder; begin with `lienxa new"):
        load(BAD / "nowhere", CATALOG)


ODD: list[Any] = [
    None,
    True,
    7,
    -1,
    1.5,
    "",
    "x",
    "10.52.0.5",
    "office",
    "x" * 300,
    [],
    [1],
    {},
    {"a": 1},
    [{}],
    [[]],
]
MODEL = yaml.safe_load((Path(__file__).parents[2] / "inventories/xa-mau/commune.yaml").read_text(encoding="utf-8"))
PROVINCE = (Path(__file__).parents[2] / "inventories/province.yaml").read_text(encoding="utf-8")


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """The model commune with up to three values replaced, taken out, or put in under an odd key."""
    data = copy.deepcopy(MODEL)
    for _ in range(draw(st.integers(1, 3))):
        here: Any = data
        while True:
            if not isinstance(here, dict | list) or not here:
                break
            step = draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here))))
            if not isinstance(here[step], dict | list) or draw(st.integers(0, 2)) == 0:
                _damage(draw, here, step)
                break
            here = here[step]
    return data


def _damage(draw: st.DrawFn, here: Any, step: Any) -> None:
    how = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
    if how == "remove":
        del here[step]
    elif how == "add" and isinstance(here, dict):
        key = draw(st.sampled_from(["x", "zone", "options", "address", "Á", "0"]))
        here[key] = copy.deepcopy(draw(st.sampled_from(ODD)))
    else:
        here[step] = copy.deepcopy(draw(st.sampled_from(ODD)))


@given(damaged())
@settings(max_examples=80, deadline=None)
def test_whatever_stands_in_a_file_is_accepted_or_refused_with_a_line(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "province.yaml").write_text(PROVINCE, encoding="utf-8")
    (folder / "xa-mau").mkdir()
    text = yaml.safe_dump(data, allow_unicode=True, sort_keys=False)
    (folder / "xa-mau" / "commune.yaml").write_text(text, encoding="utf-8")
    problems = _problems(folder)
    assert all(1 <= problem.line <= text.count("\n") for problem in problems)


def _problems(folder: Path) -> tuple[Problem, ...]:
    try:
        resolve(load(folder, CATALOG), "xa-mau")
    except BadInventory as bad:
        return bad.problems
    return ()
