"""A small commune rehearsed, forgotten, and set up again with the laptop cut off: not a byte from a mirror.

The laptop's package cache is one of the test's own, so that nobody else's run is turned offline.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy import lab
from deploy.fleet.package_cache import stop_cache

pytestmark = pytest.mark.lab

SLUG = "xa-kho"
LIENXA = str(Path(sys.executable).with_name("lienxa"))
PROVINCE = Path(__file__).parents[2] / "inventories" / "province.yaml"
COMMUNE = """\
commune: {name: Xã Kho, slug: xa-kho, code: "00000", prefix: 10.52.8.0/22}
zones:
  server:     {vlan: 10}
  wireless:   {vlan: 50, guest: true}
uplinks:
  - {name: fibre, interface: wan0}
machines:
  gw1:  {kind: gateway, ports: {wan0: uplink, lan0: trunk}}
  srv1: {kind: server, zone: server, mac: "52:54:00:00:08:20"}
  kh01: {kind: unmanaged, zone: wireless, mac: "52:54:00:00:08:50", what: phone}
"""
NOWHERE = "http://127.0.0.1:9"
"""A proxy that is not there: the laptop has no line."""


@dataclass(frozen=True)
class Small:
    """The commune's folder, and the package cache beside it."""

    folder: Path

    @property
    def cache(self) -> Path:
        return self.folder / "cache" / "squid"

    def lienxa(self, *words: str, code: int = 0, **environment: str) -> list[dict[str, Any]]:
        """What the command says in JSON."""
        done = subprocess.run(
            [LIENXA, *words, "--json"],
            capture_output=True,
            text=True,
            env=os.environ | {"LIENXA_INVENTORIES": str(self.folder)} | environment,
            check=False,
        )
        assert done.returncode == code, (
            f"{words}: exit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-3000:]}"
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    def fresh(self) -> None:
        """Containers on which nothing was ever done."""
        lab.down(SLUG)
        environment = os.environ | {"LIENXA_INVENTORIES": str(self.folder)}
        subprocess.run([LIENXA, "lab", "up", SLUG], check=True, capture_output=True, env=environment)

    def asked_of_mirrors(self, since: int = 0) -> list[str]:
        """What the laptop's cache did not answer by itself."""
        lines = (self.cache / "access.log").read_text().splitlines()[since:]
        return [line for line in lines if "HIER_NONE" not in line]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    made = Small(tmp_path_factory.mktemp("kho"))
    shutil.copy(PROVINCE, made.folder)
    (made.folder / SLUG).mkdir()
    (made.folder / SLUG / "commune.yaml").write_text(COMMUNE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIENXA_PACKAGE_CACHE", str(made.cache))
        try:
            made.fresh()
            yield made
        finally:
            lab.down(SLUG)
            stop_cache()


def test_before_a_rehearsal_offline_is_refused_and_touches_nothing(small: Small) -> None:
    small.lienxa("apply", SLUG, "--lab", "--offline", code=1)
    assert small.lienxa("cache", "status", SLUG, code=1)[-1]["ready"] is False


def test_a_rehearsal_leaves_all_that_the_machines_need(small: Small) -> None:
    assert small.lienxa("apply", SLUG, "--lab")[-1]["failed"] == 0
    said = small.lienxa("cache", "status", SLUG)[-1]
    assert said["ready"] is True
    assert said["packages"] > 30
    assert said["missing"] == said["expired"] == 0


def test_what_the_gateway_has_the_others_take_from_it(small: Small) -> None:
    fetched = [line.split()[6] for line in (small.cache / "access.log").read_text().splitlines() if " GET " in line]
    twice = {url for url in fetched if url.endswith("_all.deb") and fetched.count(url) > 2}
    assert twice == set(), "a package crossed the line for each machine"
    script = "journalctl -u squid -o cat | grep -c 'TCP_.*HIT.*[.]deb'"
    assert int(lab.run_in(SLUG, "gw1", ["sh", "-c", script], check=True).stdout) > 10
    kept = lab.run_in(SLUG, "gw1", ["ls", "/var/cache/lienxa/kit"], check=True).stdout.split()
    assert {name.partition("-")[0] for name in kept} == {"content", "runtime"}


def test_its_checks_are_green_and_guests_are_refused(small: Small) -> None:
    said = small.lienxa("verify", SLUG, "--lab")
    assert said[-1]["failed"] == said[-1]["skipped"] == 0
    sentences = {line["sentence"] for line in said if line["event"] == "check"}
    assert any(line.startswith("kh01 is refused package cache of gw1") for line in sentences)
    assert any(line.startswith("srv1 reaches package cache of gw1") for line in sentences)


def test_a_cache_that_is_away_costs_nothing(small: Small) -> None:
    ask = ["/usr/local/lib/lienxa/package-proxy", "http://mirror.invalid/"]
    assert lab.run_in(SLUG, "srv1", ask, check=True).stdout.strip().endswith(":3128/")
    lab.run_in(SLUG, "gw1", ["systemctl", "stop", "squid"], check=True)
    assert lab.run_in(SLUG, "srv1", ask, check=True).stdout.strip() == "DIRECT"
    lab.run_in(SLUG, "gw1", ["systemctl", "start", "squid"], check=True)


def test_a_full_disk_leaves_it_at_work_from_memory(small: Small) -> None:
    script = """
    systemctl stop squid && mount -t tmpfs -o size=64M none /var/spool/squid && systemctl start squid
    cat /run/squid/lienxa-storage.conf
    bash -c 'exec 3<>/dev/tcp/127.0.0.1/3128; echo "GET http://www.example.vn/debian/dists/x/InRelease HTTP/1.0
" >&3; head -1 <&3'
    systemctl stop squid; umount /var/spool/squid; systemctl start squid; cat /run/squid/lienxa-storage.conf
    """
    said = lab.run_in(SLUG, "gw1", ["sh", "-c", script], check=True).stdout
    assert said.count("cache_dir ") == 1, "the disk is used when it has room again, and only then"
    assert " 200 OK" in said


def test_offline_on_fresh_machines_asks_no_mirror(small: Small) -> None:
    small.fresh()
    before = len((small.cache / "access.log").read_text().splitlines())
    said = small.lienxa("apply", SLUG, "--lab", "--offline", http_proxy=NOWHERE, https_proxy=NOWHERE)
    assert said[-1] | {"failed": 0, "unreachable": 0, "held_back": 0} == said[-1]
    assert said[-1]["changed"] > 50
    assert small.asked_of_mirrors(since=before) == []
    assert len((small.cache / "access.log").read_text().splitlines()) > before + 30


def test_what_was_lost_from_the_cache_is_named(small: Small) -> None:
    stop_cache()
    shutil.rmtree(small.cache / "cache")
    said = small.lienxa("cache", "status", SLUG, code=1)
    assert said[-1]["ready"] is False
    assert any(line["what"].endswith("InRelease") for line in said if line["event"] == "missing")
