"""The package cache's files, each through the program that will read it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from render_sites import SITES
from rendering import context, rendered

from deploy.inventory.site import LAPTOP_CACHE_PORT, Site
from deploy.runner.operations.checkers import CHECK_PYTHON, CHECK_SHELL
from roles.base import tasks as base
from roles.cache import tasks

Accepted = Callable[..., None]


def squid_conf(site: Site) -> str:
    return rendered(context(site, "gw1", "cache"), tasks.SQUID, laptop_port=LAPTOP_CACHE_PORT)


@pytest.mark.parametrize("name", ["trunk", "ipv6", "bare"])
def test_squid_takes_its_configuration(name: str, accepted: Accepted) -> None:
    text = squid_conf(SITES[name])
    accepted(text, "squid.conf", tasks.CHECK_SQUID)
    # Its checker really reads it.
    with pytest.raises(AssertionError, match="nosuchacl"):
        accepted(f"{text}http_access allow nosuchacl\n", "squid.conf", tasks.CHECK_SQUID)


def test_guests_are_not_let_in_by_squid_either() -> None:
    site = SITES["trunk"]
    text = squid_conf(site)
    (let_in,) = re.findall("^acl inside src (.+)$", text, re.MULTILINE)
    assert set(let_in.split()) == {"127.0.0.0/8"} | {
        str(zone.network) for zone in site.zones if zone.name != "wireless"
    }


@pytest.mark.parametrize("size", [200, 6000])
def test_storage_is_a_shell_script(size: int, accepted: Accepted) -> None:
    accepted(rendered(context(SITES["trunk"], "gw1", "cache", size=size), tasks.STORAGE), "x", CHECK_SHELL)


def test_kit_server_is_python(accepted: Accepted) -> None:
    accepted(rendered(context(SITES["trunk"], "gw1", "cache"), tasks.KIT_SERVER), "x", CHECK_PYTHON)


def test_systemd_takes_the_units(accepted: Accepted) -> None:
    ctx = context(SITES["trunk"], "gw1", "cache")
    here = "ln -sf /bin/true /usr/local/bin/x; mkdir -p /etc/systemd/system"
    service = rendered(ctx, tasks.KIT_UNIT)
    verify = "cp {} /etc/systemd/system/ && systemd-analyze verify --man=no "
    accepted(service, "lienxa-kit@.service", f"{verify} lienxa-kit@1.service", before=here)
    accepted(rendered(ctx, tasks.KIT_SOCKET), "lienxa-kit.socket", f"{verify} lienxa-kit.socket", before=here)


def test_apt_s_question_is_a_shell_script(accepted: Accepted) -> None:
    ctx = context(SITES["trunk"], "vp01", "base")
    assert base.package_cache(ctx.site, ctx.machine, ctx.options) == "10.52.0.129:3128"
    accepted(rendered(ctx, base.FIND_CACHE, cache="10.52.0.129:3128"), "package-proxy", "sh -n {}")
