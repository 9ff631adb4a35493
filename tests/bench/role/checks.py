"""25 checks of a machine after the 57 tasks. The same file runs under plain testinfra."""

from __future__ import annotations

from typing import Any

import pytest

DIRECTORIES = ("/etc/bench", "/srv/bench", "/srv/bench/d1", "/srv/bench/d2", "/srv/bench/d3")
FILES = tuple(f"/etc/bench/f{number}.conf" for number in range(1, 7))


@pytest.mark.parametrize("path", DIRECTORIES)
def test_directory(host: Any, path: str) -> None:
    """{machine} has the directory {path}."""
    assert host.file(path).is_directory


@pytest.mark.parametrize("path", FILES)
def test_file(host: Any, path: str) -> None:
    """{machine} has the file {path}."""
    assert host.file(path).contains("greeting = xin chao")


@pytest.mark.parametrize("number", range(1, 5))
def test_line(host: Any, number: int) -> None:
    """{machine} has line {number}."""
    assert host.file("/etc/bench.lines").contains(f"^key{number}=value{number}$")


@pytest.mark.parametrize("number", range(1, 4))
def test_user(host: Any, number: int) -> None:
    """{machine} has user {number}."""
    assert host.user(f"bench{number}").uid == 2000 + number


@pytest.mark.parametrize("zone", ["all", "default"])
def test_sysctl(host: Any, zone: str) -> None:
    """{machine} logs martians ({zone})."""
    assert host.sysctl(f"net.ipv4.conf.{zone}.log_martians") == 1


@pytest.mark.parametrize("number", range(1, 4))
def test_service(host: Any, number: int) -> None:
    """{machine} runs service {number}."""
    assert host.service(f"bench-{number}").is_running


@pytest.mark.parametrize("name", ["lienxa-bench-a", "lienxa-bench-b"])
def test_package(host: Any, name: str) -> None:
    """{machine} has the package {name}."""
    assert host.package(name).is_installed
