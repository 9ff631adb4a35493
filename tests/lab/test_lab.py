"""The lab itself: its machines are real, tinh serves them, nothing leaves it, and nothing of it stays behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from lab_site import DOMAIN, make_site

from deploy import lab
from deploy.fleet.links import ON_MACHINE_PROXY_PORT, Links
from deploy.fleet.package_cache import ensure_cache
from deploy.inventory.role import Kind
from deploy.inventory.site import Site, SiteMachine
from deploy.lab.rehearsal import BOGUS_NAME, INTERNET, UPSTREAM_NAME
from deploy.lab.wiring import namespaces

pytestmark = pytest.mark.lab

HERE = Path(__file__).parent
SECOND = "xa-nhi"
NTP_QUERY = """
import socket, sys
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asked.settimeout(3)
asked.sendto(b"\\x23" + 47 * b"\\0", (sys.argv[1], 123))
print(asked.recv(48)[1])
"""
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2).close()
    print("connected")
except OSError as error:
    print("refused", error)
"""


@pytest.fixture
def links(small_lab: Site) -> Iterator[Links]:
    with Links(lab.access(small_lab)) as links:
        yield links


@pytest.fixture
def second_slug() -> Iterator[str]:
    lab.down(SECOND)
    yield SECOND
    lab.down(SECOND)


def python(site: Site, machine: str, script: str, *arguments: str) -> str:
    done = lab.run_in(site.commune.slug, machine, ["python3", "-c", script, *arguments], check=True)
    return done.stdout.strip()


def output(site: Site, machine: str, *argv: str) -> str:
    return lab.run_in(site.commune.slug, machine, argv, check=True).stdout


def remains(slug: str) -> list[str]:
    """All that the laptop still has of that commune's lab."""
    containers = subprocess.run(["podman", "ps", "-a", "--format", "{{.Names}}"], capture_output=True, text=True)
    own = (f"lx-{slug}.", f"lx-{slug}_")
    left = [name for name in containers.stdout.split() if name.startswith(own)]
    state = Path.home() / ".cache" / "lienxa" / "lab" / slug
    return [*left, *namespaces(slug), *([str(state)] if state.exists() else [])]


# --- real machines


def test_every_machine_boots_without_a_failed_unit(small_lab: Site) -> None:
    states = {
        status.machine: lab.run_in(small_lab.commune.slug, status.machine, ["systemctl", "is-system-running"]).stdout
        for status in lab.status(small_lab.commune.slug)
    }
    assert states == dict.fromkeys(("gw1", "srv1", "vp01", "in01", "kh01", "tinh"), "running\n")


def test_a_machine_has_the_debian_that_its_inventory_says_and_else_13(small_lab: Site) -> None:
    assert 'VERSION_ID="12"' in output(small_lab, "vp01", "cat", "/etc/os-release")
    assert 'VERSION_ID="13"' in output(small_lab, "gw1", "cat", "/etc/os-release")


def test_interfaces_have_the_names_and_macs_of_the_inventory(small_lab: Site) -> None:
    shown = json.loads(output(small_lab, "gw1", "ip", "-j", "link"))
    assert {link["ifname"] for link in shown} == {"lo", "wan0", "lan0.10", "lan0.20", "lan0.50"}
    for machine in ("srv1", "vp01", "in01", "kh01"):
        mac = output(small_lab, machine, "cat", "/sys/class/net/eth0/address").strip()
        assert mac == small_lab.machine(machine).mac


def test_the_support_account_logs_in_by_ssh_with_a_known_host_key_and_becomes_root(links: Links) -> None:
    for machine in ("gw1", "tinh"):
        done = links.run(machine, ["sh", "-c", "hostname; sudo -n id -un"])
        assert done.stdout.decode().split() == [machine, "root"]


def test_files_that_a_container_gets_bound_over_can_be_replaced(small_lab: Site) -> None:
    for path in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf"):
        output(small_lab, "srv1", "sh", "-c", f"cp -P {path} {path}.new && mv {path}.new {path}")


# --- tinh


def test_the_gateway_leases_its_known_address_from_tinh(small_lab: Site) -> None:
    shown = json.loads(output(small_lab, "gw1", "ip", "-j", "-4", "address", "show", "wan0"))
    assert [address["local"] for address in shown[0]["addr_info"]] == ["100.64.0.10"]
    assert json.loads(output(small_lab, "gw1", "ip", "-j", "route", "show", "default"))[0]["gateway"] == "100.64.0.1"


def test_tinh_resolves_with_a_valid_signature(small_lab: Site) -> None:
    anchor = small_lab.upstream.trust_anchors[0]
    key = output(small_lab, "tinh", "dig", "+short", "@198.51.100.53", ".", "DNSKEY")
    assert key.startswith("257 3 15 ")
    assert anchor.split()[3] in output(small_lab, "tinh", "keymgr", "-c", "/etc/knot/knot.conf", ".", "ds")
    answer = output(small_lab, "tinh", "dig", "@100.64.0.1", UPSTREAM_NAME)
    assert str(INTERNET) in answer
    assert " ad;" in next(line for line in answer.splitlines() if "flags:" in line)
    portal = output(small_lab, "tinh", "dig", "+short", "@100.64.0.1", f"portal.{DOMAIN.split('.', 1)[1]}")
    assert portal.strip() == "198.51.100.2"


def test_a_broken_chain_of_signatures_gives_no_address(small_lab: Site) -> None:
    assert "status: SERVFAIL" in output(small_lab, "tinh", "dig", "@100.64.0.1", BOGUS_NAME)
    unchecked = output(small_lab, "tinh", "dig", "+short", "+cdflag", "@100.64.0.1", BOGUS_NAME)
    assert unchecked.strip() == str(INTERNET), "the name is there, only its signature is not"


def test_the_internet_says_where_a_request_came_from(small_lab: Site) -> None:
    fetch = (
        f"import urllib.request; print(urllib.request.urlopen('http://{UPSTREAM_NAME}/', timeout=5).read().decode())"
    )
    assert python(small_lab, "gw1", fetch) == "100.64.0.10"


def test_tinh_tells_the_time(small_lab: Site) -> None:
    assert python(small_lab, "gw1", NTP_QUERY, "100.64.0.1") == "3", "stratum"


# --- nothing leaves it


def test_nothing_outside_is_reached_from_a_lab_machine(small_lab: Site) -> None:
    shown = json.loads(subprocess.run(["ip", "-j", "-4", "address"], capture_output=True, check=True).stdout)
    addresses = [address["local"] for link in shown for address in link["addr_info"]]
    with socket.create_server(("0.0.0.0", 0)) as listening:
        port = str(listening.getsockname()[1])
        for address in addresses:
            socket.create_connection((address, int(port)), timeout=2).close()
        for machine in ("gw1", "tinh", "kh01"):
            for address in addresses:
                assert "refused" in python(small_lab, machine, CONNECT, address, port), f"{machine} reached {address}"


def test_the_laptop_itself_has_no_interface_or_route_into_the_lab(small_lab: Site) -> None:
    inside = _interfaces("-n", f"lx-{small_lab.commune.slug}_bridges")
    assert len(inside) > 10
    assert _interfaces() & inside <= {"lo"}
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
    assert "100.64." not in routes
    assert "10.52." not in routes


# --- it cannot change the laptop


@pytest.mark.parametrize(
    "command",
    [
        "date --set @0",
        "sysctl -w kernel.panic=77",
        "sysctl -w vm.swappiness=1",
        "echo 1 > /proc/sys/fs/inotify/max_user_watches",
        "echo mem > /sys/power/state",
        "echo b > /proc/sysrq-trigger",
        "mount -o remount,rw /sys/module",
    ],
)
def test_a_machine_cannot_change_the_laptops_kernel(small_lab: Site, command: str) -> None:
    panic = Path("/proc/sys/kernel/panic").read_text()
    before = time.time()
    done = lab.run_in(small_lab.commune.slug, "gw1", ["sh", "-c", command])
    assert done.returncode != 0
    assert before <= time.time() < before + 60
    assert Path("/proc/sys/kernel/panic").read_text() == panic


def test_a_machine_has_no_right_to_load_modules_or_set_the_clock(small_lab: Site) -> None:
    bounds = int(output(small_lab, "srv1", "sh", "-c", "grep CapBnd /proc/1/status").split()[1], 16)
    module, rawio, boot, clock = 16, 17, 22, 25
    assert not any(bounds >> number & 1 for number in (module, rawio, boot, clock))


def test_a_machines_own_network_settings_are_its_own(small_lab: Site) -> None:
    setting = "/proc/sys/net/ipv4/conf/default/rp_filter"
    laptop = Path(setting).read_text()
    other = "2" if laptop.strip() != "2" else "1"
    output(small_lab, "kh01", "sh", "-c", f"echo {other} > {setting}")
    assert output(small_lab, "kh01", "cat", setting).strip() == other
    assert Path(setting).read_text() == laptop


# --- packages


def test_packages_come_through_the_laptops_cache_over_ssh(links: Links) -> None:
    proxy = f"Acquire::http::Proxy=http://127.0.0.1:{ON_MACHINE_PROXY_PORT}"
    connection = links.command(
        "gw1",
        f"sudo apt-get -q -o {proxy} update && sudo apt-get -q -o {proxy} --download-only -y install chrony",
        *("-R", f"127.0.0.1:{ON_MACHINE_PROXY_PORT}:127.0.0.1:{ensure_cache()}"),
    )
    done = subprocess.run(connection, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_the_connection_no_package_is_reached(links: Links) -> None:
    done = links.run(
        "gw1", ["sudo", "apt-get", "-q", "-o", "Acquire::Retries=0", "-o", "APT::Update::Error-Mode=any", "update"]
    )
    assert done.returncode != 0


# --- up and down


def test_up_again_changes_nothing(small_lab: Site) -> None:
    slug = small_lab.commune.slug
    before = _started(slug)
    said: list[tuple[str, str]] = []
    again = lab.up(make_site(), listener=lambda machine, message: said.append((machine, message)))
    assert _started(slug) == before
    assert [machine for machine, _ in said if machine] == []
    assert again == small_lab


def test_up_repairs_what_died_and_keeps_what_was_on_it(small_lab: Site) -> None:
    slug = small_lab.commune.slug
    output(small_lab, "in01", "sh", "-c", "echo kept > /root/note")
    before = _started(slug)
    subprocess.run(["podman", "kill", f"lx-{slug}.in01"], check=True, capture_output=True)
    subprocess.run(["ip", "netns", "delete", f"lx-{slug}.kh01"], check=True)
    lab.up(make_site())
    after = _started(slug)
    assert {name for name in after if after[name] != before[name]} == {f"lx-{slug}.in01", f"lx-{slug}.kh01"}
    assert output(small_lab, "in01", "cat", "/root/note") == "kept\n"
    assert output(small_lab, "kh01", "cat", "/sys/class/net/eth0/carrier") == "1\n"


def test_a_machine_more_is_one_machine_more(small_lab: Site) -> None:
    slug = small_lab.commune.slug
    new = SiteMachine(
        name="vp02",
        kind=Kind.OFFICE,
        zone="office",
        address=IPv4Address("10.52.5.12"),
        mac=None,
        fqdn=f"vp02.{DOMAIN}",
    )
    before = _started(slug)
    lab.up(make_site(extra=(new,)))
    after = _started(slug)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {f"lx-{slug}.vp02"}
    lab.up(make_site())
    assert _started(slug) == before


def test_a_second_commune_stands_beside_the_first_and_goes_alone(small_lab: Site, second_slug: str) -> None:
    first = _started(small_lab.commune.slug)
    second = lab.up(make_site(second_slug), debian="12")
    with Links(lab.access(second)) as links:
        assert links.run("gw1", ["hostname"]).stdout == b"gw1\n"
    assert 'VERSION_ID="12"' in output(second, "gw1", "cat", "/etc/os-release"), "as `lab up --debian 12` asks"
    assert lab.down(second_slug)
    assert remains(second_slug) == []
    assert _started(small_lab.commune.slug) == first
    assert not lab.down(second_slug), "down when it is down does nothing"


@pytest.mark.parametrize("moment", ["containers", "booting", "running"])
def test_a_crash_half_way_is_mended_by_up_or_cleared_by_down(second_slug: str, moment: str) -> None:
    _crash_at(second_slug, moment)
    assert remains(second_slug)
    if moment == "booting":
        lab.up(make_site(second_slug))
        assert {status.state for status in lab.status(second_slug)} == {"running"}
    lab.down(second_slug)
    assert remains(second_slug) == []


def test_a_machine_that_does_not_run_is_named(small_lab: Site) -> None:
    with pytest.raises(
        lab.LabError, match=r"no machine srv9 runs in the lab of .* \(there are: gw1, in01, kh01, srv1"
    ):
        lab.shell(small_lab.commune.slug, "srv9")


def test_a_machine_named_like_the_labs_own_is_refused() -> None:
    rival = SiteMachine(
        name="tinh",
        kind=Kind.SERVER,
        zone="server",
        address=IPv4Address("10.52.4.20"),
        mac=None,
        fqdn=f"tinh.{DOMAIN}",
    )
    with pytest.raises(lab.LabError, match="rename it"):
        lab.up(make_site(SECOND, extra=(rival,)))
    assert remains(SECOND) == []


def _interfaces(*namespace: str) -> set[str]:
    shown = subprocess.run(["ip", *namespace, "-j", "link"], capture_output=True, check=True)
    return {link["ifname"] for link in json.loads(shown.stdout)}


def _started(slug: str) -> dict[str, str]:
    """When each container was started, by its name."""
    listed = subprocess.run(
        ["podman", "ps", "-a", "--filter", f"label=lienxa.commune={slug}", "--format", "json"],
        capture_output=True,
        check=True,
    )
    return {entry["Names"][0]: f"{entry['Id']} {entry['StartedAt']}" for entry in json.loads(listed.stdout)}


def _crash_at(slug: str, moment: str) -> None:
    """Run `up` in a process of its own and kill it when it says the word."""
    script = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "from lab_site import make_site\n"
        "from deploy import lab\n"
        f"lab.up(make_site({slug!r}), listener=lambda *words: print(*words, flush=True))\n"
    )
    command: Sequence[str] = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parents[1]) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if moment in line:
                os.kill(process.pid, signal.SIGKILL)
                return
        pytest.fail(f"up never said {moment}")
