"""The laptop's package cache: one per user, on loopback, for packages only."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.fleet.package_cache import CacheError, ensure_cache, stop_cache

pytestmark = pytest.mark.lab


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield ensure_cache()
    stop_cache()


def ask(port: int, method: str, target: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, target)
    return connection.getresponse().status


def test_a_second_asker_is_given_the_same_one(port: int) -> None:
    assert ensure_cache() == port


def test_it_comes_back_on_the_same_port_after_a_stop(port: int) -> None:
    stop_cache()
    with pytest.raises(ConnectionRefusedError):
        ask(port, "GET", "http://192.0.2.1/")
    assert ensure_cache() == port


def test_one_that_was_killed_is_started_again(port: int, tmp_path: Path) -> None:
    process = int((tmp_path / "lienxa" / "squid" / "process").read_text())
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    assert ask(ensure_cache(), "POST", "http://192.0.2.1/") == 403


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "http://192.0.2.1/"),
        ("GET", "http://192.0.2.1:22/"),
        ("GET", "http://127.0.0.1/"),
        ("CONNECT", "192.0.2.1:22"),
        ("CONNECT", "192.0.2.1:80"),
    ],
)
def test_it_serves_nothing_but_packages(port: int, method: str, target: str) -> None:
    assert ask(port, method, target) == 403


def test_it_listens_on_loopback_alone(port: int) -> None:
    shown = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    assert [line.split()[3] for line in shown.splitlines()] == [f"127.0.0.1:{port}"]


def test_without_squid_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(CacheError, match="make setup"):
        ensure_cache()
