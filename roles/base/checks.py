"""Proves the role `base`: who a machine is, who gets in, and that it stays sound."""

from __future__ import annotations

import http.client
import json
import re
import secrets
import shlex
import time
import urllib.request
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Literal

import pytest
from testinfra.host import Host

from deploy.inventory.role import Kind
from deploy.inventory.site import Site, SiteMachine
from deploy.runner.checking import each
from deploy.runner.observe import Answer, ask, offered, reverse_name
from roles.base import tasks
from roles.base.options import Options

CANARY = "use-application-dns.net"
"""A name that every gateway blocks."""
LAB_NAME = "www.example.vn"
"""Stands for the Internet in a lab, and answers with the address that it is asked from."""

WEAK = {
    "key exchange of the last decade": "KexAlgorithms=diffie-hellman-group14-sha1",
    "CBC encryption": "Ciphers=aes128-cbc",
    "encryption that SHA-1 would have to protect": "Ciphers=aes128-ctr",
    "SHA-1 host signature": "HostKeyAlgorithms=ssh-rsa",
}


def _behind_gateway(site: Site, machine: SiteMachine, options: Options) -> list[SiteMachine]:
    return [] if machine.kind is Kind.GATEWAY else [site.gateway]


def _with_keys(site: Site, machine: SiteMachine, options: Options) -> list[str]:
    return [site.support.user] if site.support.keys else []


def _package_caches(site: Site, machine: SiteMachine, options: Options) -> list[str]:
    cache = tasks.package_cache(site, machine, options) or options.package_cache
    return [cache] if cache and cache != "direct" else []


def _of_the_commune(site: Site, machine: SiteMachine, options: Options) -> list[str]:
    cache = tasks.package_cache(site, machine, options)
    return [cache] if cache else []


def _in_a_lab(site: Site, machine: SiteMachine, options: Options) -> list[str]:
    behind = machine.kind is not Kind.GATEWAY
    return [LAB_NAME] if behind and site.upstream.trust_anchors else []


RESOLVER = "base.test_resolver_answers"
LOOK_AT_RESOLVER = "On {site.gateway.name}: `systemctl status unbound` and `journalctl -u unbound -n 50`."


def _until(found: Callable[[], object], seconds: float) -> object:
    """What `found` gives as soon as it is true, or the last it gave."""
    deadline = time.monotonic() + seconds
    while not (result := found()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return result


@pytest.mark.next_step("Look at /etc/hostname and at 127.0.1.1 in /etc/hosts; another program may write them.")
def test_knows_its_name(host: Host, machine: SiteMachine) -> None:
    """{machine} knows its own full name without the network."""
    assert host.check_output("uname -n") == machine.name
    assert host.check_output("hostname --fqdn") == machine.fqdn


def test_time_zone(host: Host, options: Options) -> None:
    """{machine} shows the time of {options.timezone}."""
    elsewhere = host.check_output("TZ=%s date +%%z", options.timezone)
    assert host.check_output("env -u TZ date +%z") == elsewhere
    assert host.file("/etc/localtime").linked_to.endswith(f"zoneinfo/{options.timezone}")


@pytest.mark.parametrize("language", tasks.LANGUAGES)
def test_language_works(host: Host, language: str) -> None:
    """{machine} has the language {language}."""
    assert host.check_output("LC_ALL=%s locale charmap", language) == "UTF-8"
    written = host.run("LC_ALL=%s locale", language)
    assert not written.stderr, written.stderr


@pytest.mark.next_step("Look at LANG in /etc/default/locale, and at ~/.profile of the account.")
def test_language_of_a_login(host: Host, site: Site, options: Options) -> None:
    """Who logs in to {machine} meets {options.language}."""
    assert host.check_output("su - %s -c %s", site.support.user, 'printf %s "$LANG"') == options.language


def test_support_account(host: Host, site: Site) -> None:
    """On {machine} the account {site.support.user} becomes root without a password."""
    assert host.check_output("su - %s -c %s", site.support.user, "sudo -n id -u") == "0"


def test_console_password(host: Host, site: Site) -> None:
    """On {machine} the account {site.support.user} has a password for the keyboard."""
    assert host.check_output("passwd --status %s", site.support.user).split()[1] == "P"


@pytest.mark.next_step("Someone added or removed a key by hand; `lienxa apply` makes them the inventory's again.")
@each(_with_keys)
def test_support_keys(host: Host, site: Site, user: str) -> None:
    """Exactly the inventory's keys open {user} on {machine}."""
    lines = host.file(f"{host.user(user).home}/.ssh/authorized_keys").content_string.splitlines()
    assert sorted(lines) == sorted(key.strip() for key in site.support.keys)


@pytest.mark.needs("unit:ssh")
@pytest.mark.next_step("`sshd -T` says what counts, /etc/ssh/sshd_config must begin with its Include line.")
@each(_with_keys)
def test_password_is_refused(host: Host, user: str) -> None:
    """{machine} lets nobody in with a password over SSH."""
    answer = _ssh(host, user, "PubkeyAuthentication=no", "PreferredAuthentications=password,keyboard-interactive")
    assert answer.rc == 255
    assert "Permission denied (publickey)" in answer.stderr, answer.stderr


@pytest.mark.needs("unit:ssh")
@each(_with_keys)
def test_root_is_refused(host: Host, user: str) -> None:
    """{machine} lets nobody in as root over SSH."""
    effective = host.check_output("/usr/sbin/sshd -T").splitlines()
    assert "permitrootlogin no" in effective
    assert "Permission denied" in _ssh(host, "root").stderr


@pytest.mark.needs("unit:ssh")
@pytest.mark.parametrize("weak", WEAK)
def test_weak_algorithm_is_refused(host: Host, site: Site, weak: str) -> None:
    """{machine} refuses an SSH client that offers only {weak}."""
    answer = _ssh(host, site.support.user, WEAK[weak])
    assert answer.rc == 255
    assert "no matching" in answer.stderr, answer.stderr


@pytest.mark.needs("unit:chrony")
@pytest.mark.next_step("`chronyc -n sources` and `chronyc -n activity`; is UDP port 123 of the source reached?")
@each(lambda site, machine, options: _sources(site, machine))
def test_gets_the_time(host: Host, source: str) -> None:
    """{machine} gets the time from {source}."""

    def chosen() -> bool:
        rows = [row.split(",") for row in host.check_output("chronyc -c -N sources").splitlines()]
        return any(row[2] == source and row[1] in {"*", "+"} and row[5] != "0" for row in rows)

    assert _until(chosen, 15), host.check_output("chronyc -N sources")


@pytest.mark.needs("base.test_gets_the_time")
def test_clock_is_right(host: Host) -> None:
    """The clock of {machine} is less than a second off."""
    tracking = host.check_output("chronyc -c tracking").split(",")
    assert abs(float(tracking[4])) < 1.0
    assert tracking[13] == "Normal", host.check_output("chronyc tracking")


def test_journal_keeps(host: Host) -> None:
    """What happens on {machine} is written down, and outlives a restart."""
    mark = f"lienxa-check-{secrets.token_hex(6)}"
    host.check_output("logger -t lienxa-check %s", mark)
    look = "journalctl -q -t lienxa-check --since -5min -o cat --directory /var/log/journal"
    command = f"journalctl --sync; {look} | grep -c {mark}"
    assert _until(lambda: host.run(command).stdout.strip() == "1", 5), "the line did not get to /var/log/journal"


def test_journal_is_small(host: Host, options: Options) -> None:
    """The journal of {machine} takes at most {options.journal_size} MiB of the disk."""
    size = int(host.check_output("du -sm /var/log/journal").split()[0])
    # The file that is being written counts when it is full: at most an eighth more.
    assert size <= options.journal_size * 9 // 8


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("APT::Periodic::Unattended-Upgrade", "1"),
        ("APT::Periodic::Update-Package-Lists", "1"),
        ("Unattended-Upgrade::Origins-Pattern", "label=Debian-Security"),
    ],
)
def test_upgrades_are_on(host: Host, setting: str, value: str) -> None:
    """{machine} upgrades by itself: {setting} has {value}."""
    dump = host.check_output("apt-config dump %s", setting)
    assert f'"{value}"' in dump or f"{value}" in dump.partition('"')[2], dump


@pytest.mark.parametrize("timer", ["apt-daily.timer", "apt-daily-upgrade.timer"])
def test_upgrade_window(host: Host, options: Options, timer: str) -> None:
    """{machine} runs {timer} only from {options.upgrades_at} on, spread over {options.upgrades_spread} minutes."""
    at = options.upgrades_at
    if timer == "apt-daily-upgrade.timer":
        at = tasks.later(at, options.upgrades_spread)
    said = host.check_output("systemctl show --property=TimersCalendar,RandomizedDelayUSec,Persistent %s", timer)
    assert said.count("OnCalendar=") == 1
    assert f"OnCalendar=*-*-* {at}:00" in said
    assert "Persistent=yes" in said


@pytest.mark.next_step(
    "Does squid run on the cache's machine? `/usr/local/lib/lienxa/package-proxy` says how APT goes."
)
@each(lambda site, machine, options: _package_caches(site, machine, options))
def test_package_cache(host: Host, cache: str) -> None:
    """{machine} fetches packages through {cache}."""
    said = host.check_output("env -u APT_CONFIG apt-config dump Acquire::http::Proxy-Auto-Detect")
    if "Auto-Detect" in said:
        # As the user that APT fetches as.
        said = host.check_output("setpriv --reuid=_apt --clear-groups %s http://example.invalid/", tasks.FIND_CACHE)
    else:
        said = host.check_output("env -u APT_CONFIG apt-config dump Acquire::http::Proxy")
    assert cache in said


@pytest.mark.needs("base.test_package_cache")
@each(_of_the_commune)
def test_package_list_from_the_cache(host: Host, cache: str) -> None:
    """{machine} is given its package lists by the commune's cache at {cache}, if it has them."""
    # Also where no list was ever fetched: a machine may come with all its packages.
    told = host.check_output("env -u APT_CONFIG apt-get --print-uris update")
    urls = re.findall(r"^'(\S+/InRelease)'", told, re.MULTILINE)
    assert urls, "APT has no package source"
    for url in set(urls):
        connection = http.client.HTTPConnection(cache, timeout=5)
        # RFC 9111, section 5.2.1: whatever its age, and without asking the mirror, which may be out of reach.
        connection.request("GET", url, headers={"Cache-Control": "only-if-cached, max-stale=315360000"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status in {http.client.OK, http.client.GATEWAY_TIMEOUT}, f"{url}: {answer.status}"
        assert answer.status != http.client.OK or b"SHA256:" in text, url


@pytest.mark.next_step("On {machine}: `systemctl --failed`; a unit that is not ours may be disabled, or mended.")
def test_no_unit_failed(host: Host) -> None:
    """No unit of {machine} has failed."""
    failed = host.check_output("systemctl list-units --failed --plain --no-legend")
    assert not failed, failed


@pytest.mark.next_step(
    "On {machine}: `networkctl status`, `ip address`; on the gateway: `journalctl -u kea-dhcp4-server`."
)
@each(_behind_gateway)
def test_took_its_reserved_lease(host: Host, machine: SiteMachine, gateway: SiteMachine) -> None:
    """{machine} has the address that {gateway.name} reserves for it, and has it as a lease."""
    address = _own_address(host, machine)
    assert address is not None, f"no interface has {machine.address}: {host.check_output('ip -brief -4 address')}"
    assert address["dynamic"], f"{machine.address} was set by hand: leases change with the inventory, it would not"


@pytest.mark.needs("base.test_took_its_reserved_lease")
@pytest.mark.next_step("On the gateway: `systemctl status kea-dhcp4-server`; is another DHCP server in this zone?")
@each(_behind_gateway)
def test_is_offered_its_address(host: Host, site: Site, machine: SiteMachine, gateway: SiteMachine) -> None:
    """{machine} asks for an address, and {gateway.name} alone offers its own."""
    address = _own_address(host, machine)
    assert address is not None
    offer = offered(str(address["interface"]), machine.mac or str(address["mac"]))
    assert offer is not None, "nobody offers an address"
    assert (offer.address, offer.server) == (machine.address, site.zone(machine.zone).gateway)


@pytest.mark.needs("base.test_took_its_reserved_lease")
@each(_behind_gateway)
def test_way_out(host: Host, site: Site, machine: SiteMachine, gateway: SiteMachine) -> None:
    """{machine} sends what is not for its own zone to {gateway.name}."""
    route = json.loads(host.check_output("ip -json -4 route get 192.0.2.1"))[0]
    assert route["gateway"] == str(site.zone(machine.zone).gateway)


@pytest.mark.needs("base.test_way_out")
@pytest.mark.next_step(LOOK_AT_RESOLVER)
@each(_behind_gateway)
def test_resolver_answers(site: Site, machine: SiteMachine, gateway: SiteMachine) -> None:
    """{machine} is answered by the resolver (unbound) of {gateway.name}."""
    assert _ask(site, machine, gateway.fqdn).code == "NOERROR"


@pytest.mark.needs(RESOLVER)
@pytest.mark.next_step(LOOK_AT_RESOLVER)
@each(lambda site, machine, options: [] if machine.kind is Kind.GATEWAY else site.machines)
def test_resolves_the_commune(site: Site, machine: SiteMachine, other: SiteMachine) -> None:
    """{machine} resolves {other.fqdn} through the gateway, and its address back."""
    assert _ask(site, machine, other.fqdn).values == (str(other.address),)
    assert _ask(site, machine, reverse_name(str(other.address)), "PTR").values == (other.fqdn,)


@pytest.mark.needs(RESOLVER)
@pytest.mark.next_step("Is the line up? On {gateway.name}: `unbound-control lookup .`, `journalctl -u unbound`.")
@each(_behind_gateway)
def test_resolves_upstream(site: Site, machine: SiteMachine, gateway: SiteMachine) -> None:
    """{machine} resolves names from outside the commune through {gateway.name}."""
    answer = _ask(site, machine, ".", "NS")
    assert answer.code == "NOERROR"
    assert answer.values


@pytest.mark.needs(RESOLVER)
@each(_behind_gateway)
def test_blocked_name_is_refused(site: Site, machine: SiteMachine, gateway: SiteMachine) -> None:
    """{machine} is refused a blocked name by {gateway.name}."""
    answer = _ask(site, machine, CANARY)
    assert (answer.code, answer.recursive) == ("NXDOMAIN", False), f"{CANARY}: {answer}"


@pytest.mark.needs("base.test_resolves_upstream")
@pytest.mark.next_step(
    "On {site.gateway.name}: `nft list table inet lienxa` (forward, hide), `sysctl net.ipv4.ip_forward`."
)
@each(_in_a_lab)
def test_is_hidden_outside(site: Site, machine: SiteMachine, name: str) -> None:
    """{machine} opens a page of {name}, which sees the gateway's address and not its own."""
    (address,) = _ask(site, machine, name).values
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{address}/", timeout=4) as page:
            seen = page.read().decode().strip()
    except OSError as error:
        pytest.fail(f"{name} ({address}) does not answer: {error}")
    assert seen
    assert IPv4Address(seen) not in site.prefix, f"{name} sees {seen}"


def _ask(site: Site, machine: SiteMachine, name: str, kind: Literal["A", "NS", "PTR"] = "A") -> Answer:
    """The answer of the gateway's resolver; no answer fails the check."""
    resolver = str(site.zone(machine.zone).gateway)
    try:
        return ask(resolver, name, kind)
    except (TimeoutError, ConnectionRefusedError) as error:
        pytest.fail(f"the resolver {resolver} says nothing: {error}")


def _sources(site: Site, machine: SiteMachine) -> tuple[str, ...]:
    if machine.kind is Kind.GATEWAY:
        return site.upstream.time_servers
    return (str(site.zone(machine.zone).gateway),)


def _own_address(host: Host, machine: SiteMachine) -> dict[str, object] | None:
    for link in json.loads(host.check_output("ip -json -4 address")):
        for address in link.get("addr_info", []):
            if address.get("local") == str(machine.address):
                link_layer = json.loads(host.check_output("ip -json link show %s", link["ifname"]))[0]
                return {
                    "interface": link["ifname"],
                    "mac": link_layer["address"],
                    "dynamic": bool(address.get("dynamic")),
                }
    return None


def _ssh(host: Host, user: str, *settings: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 (testinfra has no types)
    """An SSH client on this machine that trusts nobody, knows no key and asks nobody."""
    everything = (
        "BatchMode=no",
        "NumberOfPasswordPrompts=1",
        "ConnectTimeout=5",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "IdentityFile=none",
        "IdentityAgent=none",
        *settings,
    )
    words = " ".join(f"-o {shlex.quote(setting)}" for setting in everything)
    return host.run(
        f"SSH_ASKPASS_REQUIRE=never setsid -w ssh -F none {words} {shlex.quote(user)}@127.0.0.1 true </dev/null"
    )
