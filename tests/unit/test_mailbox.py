"""`lienxa mailbox delete`: what it refuses, and what it leaves. Its scripts run here, in another folder."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from deploy.cli import lienxa, mailbox
from deploy.errors import UserError
from deploy.inventory.mailboxes import FOLDER, LOCKED

INVENTORIES = Path(__file__).parents[2] / "inventories"


class Here:
    """Stands for the way to a machine: what is to run there runs here, in another folder."""

    def __init__(self, folder: Path) -> None:
        self.access = SimpleNamespace(user="root")
        self.folder = folder

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, machine: str, argv: Sequence[str], *, timeout: float) -> subprocess.CompletedProcess[bytes]:
        moved = [word.replace(FOLDER, str(self.folder)) for word in argv]
        return subprocess.run(moved, capture_output=True, check=False, timeout=timeout)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine's mailboxes: one in use, two locked."""
    for login in ("mau.nv", "cu.lt", "cu.pv", "la.nn"):
        mails = tmp_path / login / "Maildir" / "cur"
        mails.mkdir(parents=True)
        (mails / "1:2,S").write_text("Subject: x\n\n")
    for login in ("cu.lt", "cu.pv"):
        (tmp_path / login / LOCKED).touch()
    monkeypatch.setattr(mailbox, "Links", lambda access: Here(tmp_path))
    return tmp_path


def delete(login: str, typed: str, *more: str) -> Result:
    words = ["mailbox", "delete", "xa-mau", login, "--inventories", str(INVENTORIES), *more]
    return CliRunner().invoke(lienxa, words, input=f"{typed}\n")


def test_a_kept_mailbox_goes_when_its_login_is_typed(folder: Path) -> None:
    said = delete("cu.lt", "cu.lt")
    assert said.exit_code == 0, said.output
    assert "holds 1 mail, " in said.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["cu.pv", "la.nn", "mau.nv"]


@pytest.mark.parametrize("typed", ["cu.pv", "y", "yes", "CU.LT"])
def test_it_stays_when_another_one_is_typed(folder: Path, typed: str) -> None:
    said = delete("cu.lt", typed)
    assert said.exit_code == 1
    assert "Nothing was deleted" in said.stderr
    assert (folder / "cu.lt" / "Maildir" / "cur" / "1:2,S").exists()


def test_one_that_was_cut_short_is_finished(folder: Path) -> None:
    (folder / "cu.lt").rename(folder / ".lienxa-deleting-cu.lt")
    assert delete("cu.lt", "cu.lt").exit_code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["cu.pv", "la.nn", "mau.nv"]


def test_what_somebody_has_is_refused_with_the_place_where_it_stands(folder: Path) -> None:
    said = delete("mau.nv", "mau.nv")
    assert isinstance(said.exception, UserError)
    assert "xa-mau/commune.yaml:" in str(said.exception)
    assert "take it out of the inventory and apply first" in str(said.exception)


def test_what_is_not_locked_yet_is_refused(folder: Path) -> None:
    said = delete("la.nn", "la.nn")
    assert isinstance(said.exception, UserError)
    assert str(said.exception) == "srv1: the mailbox la.nn is not locked yet; lienxa apply locks it"


@pytest.mark.parametrize("login", ["khong.co", "../etc", ".", "cu.lt/Maildir"])
def test_what_is_not_there_is_refused_with_what_is(folder: Path, login: str) -> None:
    said = delete(login, login)
    assert isinstance(said.exception, UserError)
    assert len(list(folder.iterdir())) == 4


def test_the_machine_may_be_another_one_and_must_be_there(folder: Path) -> None:
    assert delete("cu.lt", "cu.lt", "--machine", "gw1").exit_code == 0
    assert isinstance(delete("cu.pv", "cu.pv", "--machine", "srv9").exception, UserError)
