"""What every machine has, each file through the program that will read it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from render_sites import SITES
from rendering import context, rendered

from roles.base import tasks

Accepted = Callable[..., None]


def test_sshd_takes_its_part(accepted: Accepted) -> None:
    text = rendered(context(SITES["trunk"], "vp01", "base"), tasks.SSHD)
    before = "mkdir -p /run/sshd; ssh-keygen -A >/dev/null"
    accepted(text, "00-lienxa.conf", tasks.CHECK_SSHD, before=before)
    # Its checker really reads it: a line that sshd does not know is refused.
    with pytest.raises(AssertionError, match="Bad configuration option"):
        accepted(f"{text}NoSuchThing yes\n", "00-lienxa.conf", tasks.CHECK_SSHD, before=before)


def test_without_support_keys_nobody_is_locked_out() -> None:
    text = rendered(context(SITES["bare"], "gw1", "base"), tasks.SSHD)
    assert "PasswordAuthentication" not in text
    assert "AuthenticationMethods" not in text


def test_sudo_takes_its_part(accepted: Accepted) -> None:
    text = rendered(context(SITES["trunk"], "vp01", "base"), tasks.SUDOERS)
    accepted(text, "lienxa", tasks.CHECK_SUDOERS)


@pytest.mark.parametrize("servers", [("10.52.0.1",), ("ntp.example", "192.0.2.1")])
def test_chrony_takes_its_servers(servers: tuple[str, ...], accepted: Accepted) -> None:
    text = rendered(context(SITES["trunk"], "vp01", "base"), tasks.TIME, servers=servers)
    accepted(text, "lienxa.sources", tasks.CHECK_TIME)


@pytest.mark.parametrize("path", [tasks.UPGRADES, tasks.CACHE])
def test_apt_takes_its_parts(path: str, accepted: Accepted) -> None:
    text = rendered(context(SITES["trunk"], "vp01", "base", package_cache="http://10.52.0.9:3128"), path)
    accepted(text, "52lienxa", tasks.CHECK_APT)
    with pytest.raises(AssertionError):
        accepted(f'{text}Broken "open\n', "52lienxa", tasks.CHECK_APT)


def test_perl_takes_needrestart_s_part(accepted: Accepted) -> None:
    text = rendered(context(SITES["trunk"], "vp01", "base"), tasks.RESTARTS)
    accepted(text, "lienxa.conf", tasks.CHECK_RESTARTS)


def test_systemd_takes_the_window(accepted: Accepted) -> None:
    text = rendered(context(SITES["trunk"], "vp01", "base"), tasks.UPGRADE_TIMER, at="21:00")
    timer = f"[Timer]\nOnCalendar=daily\nUnit=nothing.service\n{text}"
    service = "printf '[Service]\\nExecStart=/bin/true\\n' >$(dirname {})/nothing.service"
    accepted(timer, "window.timer", "systemd-analyze verify --man=no {}", before=service.replace("{}", "$PWD/x"))


def test_the_window_goes_over_midnight() -> None:
    assert tasks.later("23:30", 45) == "00:15"
    assert tasks.later("20:00", 60) == "21:00"


def test_the_gateway_asks_the_province_and_the_others_ask_the_gateway() -> None:
    assert tasks.time_servers(context(SITES["trunk"], "gw1", "base")) == ("192.0.2.123",)
    assert tasks.time_servers(context(SITES["trunk"], "vp01", "base")) == ("10.52.0.129",)
    assert tasks.time_servers(context(SITES["bare"], "gw1", "base")) == ()
