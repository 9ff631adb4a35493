"""Trust: keys are recorded under the machine's name; a changed one only when that is asked for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploy.fleet.access import Access
from deploy.fleet.trust import Found, HostKey, TrustError, read, record


@pytest.fixture
def access(tmp_path: Path) -> Access:
    return Access(
        user="hotro",
        known_hosts=tmp_path / "xa-mau/known_hosts",
        gateway="gw1",
        hosts={"gw1": "192.0.2.1", "vp01": "10.52.0.10"},
        commune="xa-mau",
    )


def test_fingerprints_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    key = _key(tmp_path / "a")
    shown = subprocess.run(
        ["ssh-keygen", "-lf", tmp_path / "a.pub"], capture_output=True, text=True, check=True
    ).stdout
    assert key.fingerprint == shown.split()[1]
    assert str(key) == f"ED25519 {key.fingerprint}"


def test_a_new_key_is_recorded_under_the_machines_name_and_others_stay(access: Access, tmp_path: Path) -> None:
    first, second = _key(tmp_path / "a"), _key(tmp_path / "b")
    record(access, {"gw1": Found("gw1", (), first)})
    record(access, {"vp01": Found("vp01", (), second)})
    assert read(access.known_hosts) == {"gw1": (first,), "vp01": (second,)}
    assert access.known_hosts.read_text().splitlines()[0] == f"gw1 {first.kind} {first.blob}"


def test_a_changed_key_is_refused_with_both_fingerprints(access: Access, tmp_path: Path) -> None:
    old, new, other = _key(tmp_path / "a"), _key(tmp_path / "b"), _key(tmp_path / "c")
    record(access, {"gw1": Found("gw1", (), old)})
    with pytest.raises(TrustError) as caught:
        record(access, {"gw1": Found("gw1", (old,), new), "vp01": Found("vp01", (), other)})
    assert old.fingerprint in str(caught.value)
    assert new.fingerprint in str(caught.value)
    assert "lienxa trust xa-mau --replace gw1" in str(caught.value)
    assert read(access.known_hosts) == {"gw1": (old,)}


def test_replace_removes_the_old_key_of_the_named_machine(access: Access, tmp_path: Path) -> None:
    old, new = _key(tmp_path / "a"), _key(tmp_path / "b")
    record(access, {"gw1": Found("gw1", (), old)})
    record(access, {"gw1": Found("gw1", (old,), new)}, replace={"gw1"})
    assert read(access.known_hosts) == {"gw1": (new,)}


def test_a_machine_out_of_reach_keeps_what_is_on_record(access: Access, tmp_path: Path) -> None:
    old = _key(tmp_path / "a")
    record(access, {"gw1": Found("gw1", (), old)})
    record(access, {"gw1": Found("gw1", (old,), None, "no answer")}, replace={"gw1"})
    assert read(access.known_hosts) == {"gw1": (old,)}


def _key(path: Path) -> HostKey:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True)
    kind, blob, *_ = path.with_name(f"{path.name}.pub").read_text().split()
    return HostKey(kind, blob)
