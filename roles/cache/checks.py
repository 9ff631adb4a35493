"""Proves the role `cache`: it hands out packages and the kit, and nothing else. Who is let in is shown by probes."""

from __future__ import annotations

import http.client

import pytest
from testinfra.host import Host

from deploy.inventory.site import KIT, PACKAGES, Site, SiteMachine
from deploy.runner.checking import each

STORAGE = "/run/squid/lienxa-storage.conf"
OUTSIDE = "http://192.0.2.1"
"""An address that nobody has (RFC 5737): what is refused never gets there."""

REFUSED = {
    "what is no Debian repository": ("GET", f"{OUTSIDE}/index.html"),
    "a way to another port": ("GET", f"{OUTSIDE}:8080/debian/dists/x/InRelease"),
    "a tunnel": ("CONNECT", "192.0.2.1:443"),
    "sending": ("POST", f"{OUTSIDE}/debian/dists/x/InRelease"),
}


@pytest.mark.needs("unit:squid")
@pytest.mark.next_step("On {machine}: what http_access stands in /etc/squid/squid.conf? `squid -k parse` reads it.")
@pytest.mark.parametrize("what", REFUSED)
def test_refuses(site: Site, machine: SiteMachine, what: str) -> None:
    """The package cache of {machine} refuses {what}."""
    assert _status(site, machine, PACKAGES, *REFUSED[what]) == http.client.FORBIDDEN


@pytest.mark.needs("unit:squid")
@each(lambda site, machine, options: [m for m in site.machines if m.name != machine.name])
def test_is_no_way_to(site: Site, machine: SiteMachine, other: SiteMachine) -> None:
    """The package cache of {machine} is no way around the firewall to {other.name}."""
    for name in (str(other.address), other.fqdn):
        target = f"http://{name}/debian/dists/x/InRelease"
        assert _status(site, machine, PACKAGES, "GET", target) == http.client.FORBIDDEN


@pytest.mark.needs("unit:squid")
@pytest.mark.next_step(
    "On {machine}: `df -h /var/spool/squid` and `journalctl -u squid | grep lienxa`; free some space or see to the "
    "disk, then `systemctl restart squid`. Meanwhile it works from memory."
)
def test_keeps_packages_on_the_disk(host: Host) -> None:
    """The package cache of {machine} keeps what it has over a restart."""
    assert "cache_dir " in host.file(STORAGE).content_string


@pytest.mark.needs("unit:lienxa-kit.socket")
@pytest.mark.parametrize("path", ["/nothing.tar.xz", "/../../lib/lienxa/state.json", "//etc/passwd"])
def test_kit_only(site: Site, machine: SiteMachine, path: str) -> None:
    """{machine} hands out its kit and not {path}."""
    assert _status(site, machine, KIT, "GET", path) == http.client.NOT_FOUND


def _status(site: Site, machine: SiteMachine, service: str, method: str, target: str) -> int:
    offered = site.service(service, machine)
    assert offered is not None
    connection = http.client.HTTPConnection(offered[1], timeout=5)
    try:
        connection.putrequest(method, target, skip_host=True)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()
