"""Links: what OpenSSH is told, as OpenSSH itself reads it, and what its last words mean."""

from __future__ import annotations

import dataclasses
import subprocess
import tempfile
from pathlib import Path

import pytest

from deploy.fleet.access import Access
from deploy.fleet.links import Links, Trouble, classify, runtime_folder

ACCESS = Access(
    user="hotro",
    known_hosts=Path("/inventories/xa-mau/known_hosts"),
    gateway="gw1",
    hosts={"gw1": "gw.example.vn", "vp01": "10.52.0.10"},
    ports={"gw1": 2222},
    behind=frozenset({"vp01"}),
    commune="xa-mau",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return tmp_path


def test_openssh_reads_what_we_mean() -> None:
    gateway = _as_ssh_reads_it(ACCESS, "gw1")
    assert gateway["hostname"] == "gw.example.vn"
    assert gateway["port"] == "2222"
    assert gateway["user"] == "hotro"
    assert gateway["hostkeyalias"] == "gw1"
    assert gateway["stricthostkeychecking"] == "true"
    assert gateway["userknownhostsfile"] == "/inventories/xa-mau/known_hosts"
    assert gateway["batchmode"] == "yes"
    assert gateway["serveraliveinterval"] == "4"
    assert "proxyjump" not in gateway
    behind = _as_ssh_reads_it(ACCESS, "vp01")
    assert behind["proxyjump"] == "gw1"
    assert behind["controlpath"] != gateway["controlpath"]


def test_the_lab_enters_its_namespace_and_uses_its_own_key_alone() -> None:
    lab = dataclasses.replace(ACCESS, proxy_command="enter %h %p", identity=Path("/lab/key"))
    read = _as_ssh_reads_it(lab, "gw1")
    assert read["proxycommand"] == "enter %h %p"
    assert read["identityfile"] == "/lab/key"
    assert read["identitiesonly"] == "yes"
    assert "proxycommand" not in _as_ssh_reads_it(lab, "vp01")


def test_the_engineers_own_configuration_is_heard_but_does_not_overrule(home: Path) -> None:
    (home / ".ssh").mkdir()
    (home / ".ssh/config").write_text(
        "Host *\n  IdentityFile /home/an/key\n  StrictHostKeyChecking no\n  User root\n"
    )
    read = _as_ssh_reads_it(ACCESS, "gw1")
    assert read["identityfile"] == "/home/an/key"
    assert read["stricthostkeychecking"] == "true"
    assert read["user"] == "hotro"


def test_two_communes_never_share_a_socket() -> None:
    other = dataclasses.replace(ACCESS, known_hosts=Path("/inventories/xa-khac/known_hosts"))
    assert _as_ssh_reads_it(ACCESS, "gw1")["controlpath"] != _as_ssh_reads_it(other, "gw1")["controlpath"]


def test_sockets_are_private_and_their_paths_short(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home / ("long" * 20)))
    folder = runtime_folder()
    assert len(str(folder)) <= 60
    assert folder.stat().st_mode & 0o077 == 0
    assert Links(ACCESS).config.stat().st_mode & 0o077 == 0


def test_a_folder_that_others_may_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="lx") as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        (Path(short) / "lienxa").mkdir()
        # Not by mkdir: a run that another test made here has left its umask.
        (Path(short) / "lienxa").chmod(0o755)
        with pytest.raises(PermissionError, match="not ours alone"):
            runtime_folder()


@pytest.mark.parametrize(
    ("stderr", "trouble", "says"),
    [
        ("@@@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @@@\nHost key verification failed.",
         Trouble.HOST_KEY_CHANGED, "lienxa trust xa-mau --replace gw1"),
        ("No ED25519 host key is known for gw1 and you requested strict checking.\nHost key verification failed.",
         Trouble.HOST_KEY_UNKNOWN, "lienxa trust xa-mau"),
        ("hotro@gw: Permission denied (publickey).", Trouble.DENIED, "lienxa adopt xa-mau gw1"),
        ("sudo: a password is required", Trouble.SUDO, "lienxa adopt xa-mau gw1"),
        ("ssh: connect to host gw port 2222: Connection refused", Trouble.UNREACHABLE, "port 2222"),
        ("ssh: connect to host gw port 2222: Connection timed out", Trouble.UNREACHABLE, "switched on"),
        ("ssh: Could not resolve hostname gw.example.vn: Name or service not known", Trouble.UNREACHABLE, "`ssh:`"),
        ("client_loop: send disconnect: Broken pipe", Trouble.UNREACHABLE, "Broken pipe"),
        ("", Trouble.UNREACHABLE, "dropped"),
    ],
)  # fmt: skip
def test_last_words_become_a_cause_and_a_next_step(stderr: str, trouble: Trouble, says: str) -> None:
    error = classify(ACCESS, "gw1", stderr)
    assert error.trouble is trouble
    assert str(error).startswith("gw1: ")
    assert says in str(error)


def _as_ssh_reads_it(access: Access, machine: str) -> dict[str, str]:
    config = Links(access).config
    shown = subprocess.run(["ssh", "-F", config, "-G", machine], capture_output=True, text=True, check=True).stdout
    return dict(line.partition(" ")[::2] for line in shown.splitlines())
