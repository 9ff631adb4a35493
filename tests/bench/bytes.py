"""How many bytes cross a commune's line: for the first machine of a kind, a further one, for nothing, and offline.

`python tests/bench/bytes.py` brings up its own lab, counts what passes the laptop's end of the uplink (both
ways, SSH, TCP and IP headers included), and writes docs/benchmarks-bytes.md. Exit code 1: a bar is missed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy import lab
from deploy.fleet.package_cache import cache_folder, stop_cache
from deploy.lab.laptop import run
from deploy.lab.rehearsal import LAPTOP
from deploy.lab.wiring import namespace

SLUG = "xa-dem"
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks-bytes.md"
LIENXA = str(Path(sys.executable).with_name("lienxa"))
COMMUNE = """\
commune: {name: Xã Đếm, slug: xa-dem, code: "00000", prefix: 10.52.12.0/22}
zones:
  server:     {vlan: 10}
  office:     {vlan: 20}
  management: {vlan: 99}
uplinks:
  - {name: fibre, interface: wan0}
machines:
  gw1:  {kind: gateway, ports: {wan0: uplink, lan0: trunk}}
  srv1: {kind: server, zone: server, mac: "52:54:00:00:0c:10"}
  vp01: {kind: office, zone: office, mac: "52:54:00:00:0c:20"}
  vp02: {kind: office, zone: office, mac: "52:54:00:00:0c:21"}
"""
KINDS = {"gw1": "gateway", "srv1": "server", "vp01": "office", "vp02": "office"}
"""Of the machines, in the order in which they are set up."""
FURTHER_PERCENT = 2.0
AGAIN_BYTES = 60_000
NOWHERE = "http://127.0.0.1:9"
"""A proxy that is not there: the laptop has no line either."""


@dataclass(frozen=True)
class Row:
    """One thing that was done, and what it cost. Bytes; `mirrors`: what this laptop fetched from anybody."""

    what: str
    line: int
    mirrors: int
    seconds: float
    bar: str = ""
    met: bool = True


def main() -> int:
    """Measure, print and write."""
    with _commune() as inventories:
        rows = _measure(inventories)
    text = _page(rows)
    sys.stdout.write(text)
    PAGE.write_text(text, encoding="utf-8")
    return int(not all(row.met for row in rows))


def _measure(inventories: Path) -> list[Row]:
    rows: list[Row] = []
    first: dict[str, int] = {}
    for name, kind in KINDS.items():
        line, mirrors, seconds = _apply(inventories, name)
        if kind in first:
            share = 100 * line / first[kind]
            bar = f"{share:.2f} % of the first (bar: < {FURTHER_PERCENT:g} %)"
            rows.append(Row(f"a further {kind} ({name})", line, mirrors, seconds, bar, share < FURTHER_PERCENT))
        else:
            first[kind] = line
            rows.append(Row(f"the first {kind} ({name})", line, mirrors, seconds))
    _apply(inventories)
    line, mirrors, seconds = _apply(inventories)
    each = line // len(KINDS)
    bar = f"{each / 1e3:.1f} kB a machine (bar: < {AGAIN_BYTES // 1000} kB)"
    rows.append(Row(f"second apply of all {len(KINDS)}", line, mirrors, seconds, bar, each < AGAIN_BYTES))
    _fresh(inventories)
    line, mirrors, seconds = _apply(inventories, offline=True)
    bar = f"{mirrors} bytes of packages fetched by the laptop (bar: 0)"
    rows.append(Row(f"all {len(KINDS)} with --offline, fresh", line, mirrors, seconds, bar, mirrors == 0))
    return rows


def _apply(inventories: Path, machine: str = "", *, offline: bool = False) -> tuple[int, int, float]:
    """Bytes on the line, bytes from the mirrors, seconds. Raises RuntimeError where something failed."""
    environment = {"http_proxy": NOWHERE, "https_proxy": NOWHERE} if offline else {}
    words = ["apply", SLUG, "--lab", "--json", *(["--machine", machine] if machine else [])]
    line, mirrors = _on_the_line(), _from_mirrors()
    done = _lienxa(inventories, *words, *(["--offline"] if offline else []), **environment)
    said = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    if done.returncode or said.get("failed") != 0:
        raise RuntimeError(f"{words} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return _on_the_line() - line, _from_mirrors() - mirrors, said["seconds"]


def _on_the_line() -> int:
    """What has gone through the laptop's end of the uplink so far, both ways."""
    counters = [f"/sys/class/net/up0/statistics/{way}_bytes" for way in ("rx", "tx")]
    done = run(["ip", "netns", "exec", namespace(SLUG, LAPTOP), "cat", *counters], root=True)
    return sum(map(int, done.stdout.split()))


def _from_mirrors() -> int:
    """What the laptop's package cache did not have, and fetched."""
    log = cache_folder() / "access.log"
    rows = (line.split() for line in log.read_text().splitlines()) if log.exists() else iter(())
    return sum(int(row[4]) for row in rows if len(row) > 8 and not row[8].startswith("HIER_NONE"))


def _lienxa(inventories: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    whole = os.environ | {"LIENXA_INVENTORIES": str(inventories)} | environment
    return subprocess.run([LIENXA, *words], capture_output=True, text=True, env=whole, check=False)


def _fresh(inventories: Path) -> None:
    lab.down(SLUG)
    done = _lienxa(inventories, "lab", "up", SLUG)
    if done.returncode:
        raise RuntimeError(done.stderr)


@contextmanager
def _commune() -> Iterator[Path]:
    """The commune's folder, with its lab up and a package cache of its own, which is empty."""
    with tempfile.TemporaryDirectory(prefix="lienxa-bytes-") as scratch:
        folder = Path(scratch) / "inventories"
        (folder / SLUG).mkdir(parents=True)
        (folder / "province.yaml").write_bytes((ROOT / "inventories" / "province.yaml").read_bytes())
        (folder / SLUG / "commune.yaml").write_text(COMMUNE, encoding="utf-8")
        os.environ["LIENXA_PACKAGE_CACHE"] = str(Path(scratch) / "cache" / "squid")
        try:
            _fresh(folder)
            yield folder
        finally:
            lab.down(SLUG)
            stop_cache()


def _page(rows: list[Row]) -> str:
    body = [
        f"| {row.what} | {row.line / 1e6:,.2f} MB | {row.mirrors / 1e6:,.2f} MB | {row.seconds:.0f} s | "
        f"{row.bar}{'' if row.met else ' **missed**'} |"
        for row in rows
    ]
    head = f"""\
# Bytes on the line

Measured {datetime.now(UTC):%Y-%m-%d} with `python tests/bench/bytes.py` (or `make bench-bytes`): a gateway, a server
and two office machines on fresh Debian 13 containers, one after the other. *Line* is what passed the laptop's
end of the commune's uplink, both ways, everything included. *Mirrors* is what the laptop's own package cache,
empty at the beginning, had to fetch from the Internet.

| what | line | mirrors | time | |
|---|---:|---:|---:|---|
"""
    tail = """
The gateway's figure has in it what it needs before its own cache is there (package lists, and the cache with its
dependencies): that crosses the line a second time right after, so that the others find it in the cache. The first
desk brings its desktop, which no machine had before it; the second takes it from the gateway.
"""
    return head + "\n".join(body) + "\n" + tail


if __name__ == "__main__":
    sys.exit(main())
