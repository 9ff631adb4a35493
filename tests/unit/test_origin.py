"""Who asks and from which commit: looked up in real git repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploy.fleet.origin import changed_since, origin


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose folder `data` holds the inventories, with one commit."""
    git(tmp_path, "init", "-q")
    (tmp_path / "data" / "xa-mau").mkdir(parents=True)
    (tmp_path / "data" / "province.yaml").write_text("a: 1\n")
    (tmp_path / "data" / "xa-mau" / "commune.yaml").write_text("b: 1\n")
    commit(tmp_path)
    return tmp_path / "data"


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=An", "-c", "user.email=an@example.vn", "-c", "commit.gpgsign=false")
    command = ["git", *identity, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "x")
    return git(folder, "rev-parse", "HEAD")


def test_clean_commit(repository: Path) -> None:
    found = origin(repository, "xa-mau")
    assert found.commit == git(repository, "rev-parse", "HEAD")
    assert found.clean is True
    assert found.by.count("@") == 1


def test_other_communes_do_not_make_it_unclean(repository: Path) -> None:
    (repository / "xa-khac").mkdir()
    (repository / "xa-khac" / "commune.yaml").write_text("c: 1\n")
    assert origin(repository, "xa-mau").clean is True


@pytest.mark.parametrize("file", ["xa-mau/commune.yaml", "province.yaml", "xa-mau/new.yaml"])
def test_own_changes_make_it_unclean(repository: Path, file: str) -> None:
    (repository / file).write_text("z: 2\n")
    assert origin(repository, "xa-mau").clean is False


def test_outside_git(tmp_path: Path) -> None:
    found = origin(tmp_path, "xa-mau")
    assert (found.commit, found.clean) == (None, None)


def test_changed_since_a_commit(repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    assert changed_since(repository, "xa-mau", first) is False
    (repository / "xa-mau" / "commune.yaml").write_text("b: 2\n")
    assert changed_since(repository, "xa-mau", first) is True
    second = commit(repository)
    assert changed_since(repository, "xa-mau", first) is True
    assert changed_since(repository, "xa-mau", second) is False
    (repository / "xa-mau" / "new.yaml").write_text("z: 2\n")
    assert changed_since(repository, "xa-mau", second) is True


@pytest.mark.parametrize("unknown", ["0" * 40, "--output=/tmp/x"])
def test_unknown_commit(repository: Path, unknown: str) -> None:
    assert changed_since(repository, "xa-mau", unknown) is None
