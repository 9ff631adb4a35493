"""Edits in files that are not ours alone: what they change, and that they change nothing the second time."""

from __future__ import annotations

import pytest

from deploy.runner.operations.accounts import hash_of, matches
from deploy.runner.operations.networking import MARK, without_interfaces
from deploy.runner.operations.system import with_locales, with_own_name

INSTALLER = """\
# This file describes the network interfaces available on your system
source /etc/network/interfaces.d/*

# The loopback network interface
auto lo
iface lo inet loopback

# The primary network interface
allow-hotplug enp1s0 enp2s0
iface enp1s0 inet static
\taddress 192.0.2.10/24
\t# the provider's box
\tgateway 192.0.2.1

iface enp2s0 inet dhcp
"""


def test_ifupdown_lets_go_of_what_is_ours_and_keeps_the_rest() -> None:
    after = without_interfaces(INSTALLER, ["enp1s0"])
    assert f"{MARK}iface enp1s0 inet static\n{MARK}\taddress 192.0.2.10/24\n" in after
    assert f"{MARK}\tgateway 192.0.2.1\n" in after
    assert "\nallow-hotplug enp2s0\n" in after
    assert "\niface enp2s0 inet dhcp\n" in after
    assert "\nauto lo\niface lo inet loopback\n" in after


@pytest.mark.parametrize("names", [(), ("enp1s0",), ("enp1s0", "enp2s0"), ("enp9s0",)])
def test_ifupdown_is_edited_once(names: tuple[str, ...]) -> None:
    after = without_interfaces(INSTALLER, names)
    assert without_interfaces(after, names) == after
    assert (after == INSTALLER) == (not set(names) & {"enp1s0", "enp2s0"})


@pytest.mark.parametrize(
    "before",
    [
        "",
        "127.0.0.1\tlocalhost\n::1 localhost\n",
        "127.0.0.1\tlocalhost\n127.0.1.1\tdebian\n127.0.1.1 twice\n192.0.2.1 other # 127.0.1.1\n",
    ],
)
def test_own_name_in_hosts(before: str) -> None:
    after = with_own_name(before, "vp01.xa-mau.gialai.gov.vn")
    assert after.count("127.0.1.1\tvp01.xa-mau.gialai.gov.vn vp01\n") == 1
    assert "debian" not in after
    assert ("192.0.2.1 other" in after) == ("192.0.2.1 other" in before)
    assert with_own_name(after, "vp01.xa-mau.gialai.gov.vn") == after


@pytest.mark.parametrize(
    "before", ["", "# vi_VN UTF-8\n", "# en_US.UTF-8 UTF-8\n# vi_VN.UTF-8 UTF-8", "vi_VN.UTF-8 UTF-8\n"]
)
def test_locales_are_listed(before: str) -> None:
    after = with_locales(before, ["vi_VN.UTF-8", "en_US.UTF-8"])
    lines = after.splitlines()
    assert lines.count("vi_VN.UTF-8 UTF-8") == 1
    assert lines.count("en_US.UTF-8 UTF-8") == 1
    assert with_locales(after, ["vi_VN.UTF-8", "en_US.UTF-8"]) == after


def test_a_password_is_known_by_its_hash_alone() -> None:
    hashed = hash_of("Đúng rồi 123")
    assert hashed.startswith("$y$")
    assert matches("Đúng rồi 123", hashed)
    assert not matches("sai", hashed)


@pytest.mark.parametrize("hashed", ["", "!", "*", "!$y$j9T$x$y", "plain", "$y$broken"])
def test_no_hash_matches_nothing(hashed: str) -> None:
    assert not matches("", hashed)
    assert not matches(hashed, hashed)
