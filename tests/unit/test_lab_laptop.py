"""What a lab does to the laptop it runs on."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from deploy.errors import LabError
from deploy.lab import image, limits
from deploy.lab.image import Recipe, _make_or_fall_back
from deploy.lab.laptop import locked, state_dir, write_private

RECIPE = Recipe("machine-13", "trixie", ("deb http://mirror.invalid trixie main",), ("sudo",), ())


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for the kernel's setting; written directly, where a laptop may need sudo."""
    file = tmp_path / "max_user_instances"
    file.write_text("128\n")
    monkeypatch.setattr(limits, "_SETTING", file)
    monkeypatch.setattr(limits, "_allow", lambda number: file.write_text(f"{number}\n"))
    return file


def test_room_is_made_and_given_back_when_the_last_lab_is_down(setting: Path) -> None:
    lab = state_dir("xa-mau")
    limits.make_room()
    assert int(setting.read_text()) == limits.WANTED
    limits.make_room()
    limits.give_back()
    assert int(setting.read_text()) == limits.WANTED, "a lab is still there"
    lab.rmdir()
    limits.give_back()
    assert int(setting.read_text()) == 128


def test_what_somebody_else_has_set_since_is_left_alone(setting: Path) -> None:
    limits.make_room()
    setting.write_text("9999\n")
    limits.give_back()
    assert int(setting.read_text()) == 9999


def test_where_there_is_room_nothing_is_changed(setting: Path) -> None:
    setting.write_text("8192\n")
    limits.make_room()
    limits.give_back()
    assert int(setting.read_text()) == 8192


def test_without_a_line_last_months_image_will_do_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _no_line(monkeypatch)
    older = tmp_path / f"{RECIPE.name}-{RECIPE.key}-202610.tar.zst"
    older.touch()
    said: list[str] = []
    wanted = tmp_path / f"{RECIPE.name}-{RECIPE.key}-202611.tar.zst"
    assert _make_or_fall_back(RECIPE, wanted, lambda machine, message: said.append(message)) == older
    assert "no line" in said[-1]
    assert "202610" in said[-1]


def test_an_image_of_another_recipe_will_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _no_line(monkeypatch)
    (tmp_path / f"{RECIPE.name}-0123456789ab-202610.tar.zst").touch()
    with pytest.raises(LabError, match="no line"):
        _make_or_fall_back(RECIPE, tmp_path / "new.tar.zst", lambda machine, message: None)


def test_state_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = state_dir("xa-mau")
    write_private(folder / "key", "secret")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "key").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in folder.iterdir()] == ["key"]


def test_a_lock_is_free_again_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), locked("it"):
        _ = 1 / 0
    with locked("it"):
        pass


def _no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(recipe: Recipe, archive: Path) -> None:
        raise LabError("no line")

    monkeypatch.setattr("deploy.lab.image._make", fail)


def test_images_go_when_no_lab_has_asked_for_them_in_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clones with two recipes keep both; what neither has asked for goes, with what was imported of it."""
    images = tmp_path / "lienxa" / "images"
    images.mkdir(parents=True)
    for key in ("mine", "theirs", "old"):
        (images / f"tinh-{key}-202611.tar.zst").touch()
    long_ago = time.time() - 2 * image.UNUSED_SECONDS
    os.utime(images / "tinh-old-202611.tar.zst", (long_ago, long_ago))
    there = "".join(f"{image.REPOSITORY}/tinh:{key}-202611\n" for key in ("mine", "theirs", "old"))
    asked: list[list[str]] = []

    def podman(argv: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        asked.append(argv)
        return subprocess.CompletedProcess(argv, 0, there.encode(), b"")

    monkeypatch.setattr(image, "run", podman)
    image._forget_unused("tinh")
    assert {one.name for one in images.iterdir()} == {"tinh-mine-202611.tar.zst", "tinh-theirs-202611.tar.zst"}
    assert asked[1:] == [["podman", "rmi", f"{image.REPOSITORY}/tinh:old-202611"]]
