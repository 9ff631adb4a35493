"""A small commune of the tests' own, and the engineer's laptop that works on it: folder, keys, agent, the command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.inventory.wireguard import make_key, public_key
from deploy.lab.laptop import run

SLUG = "xa-nhan"
MACS = {"office": "52:54:00:00:00:20", "counter": "52:54:00:00:00:30"}
DESKS = {"office": "10.52.0.74", "counter": "10.52.0.138"}
ROUTERS = {"office": "10.52.0.65", "counter": "10.52.0.129"}
MANAGEMENT, GATEWAY = "10.52.3.0/24", "10.52.3.1"
BY_LINE = {"fibre": "203.0.113.10", "backup": "203.0.113.74"}
"""The gateway's address on each line."""
FAR = "198.51.100.9"
ENGINEERS = "10.52.252.1/24"
"""The province's end of the support path."""
RETURN_SECONDS = 10


def written(port: int) -> dict[str, Any]:
    """`commune.yaml`: a trunk with two VLANs, the laptop's zone on a port of its own, two lines with their rates."""
    return {
        "commune": {"name": "Xã Nhân", "slug": SLUG, "code": "00000", "prefix": "10.52.0.0/22"},
        "zones": {
            "office": {"vlan": 20, "network": "10.52.0.64/26"},
            "counter": {"vlan": 30, "network": "10.52.0.128/26"},
            "management": {"vlan": 99, "network": MANAGEMENT},
        },
        "uplinks": [
            line("fibre", "wan0", "203.0.113.10/26", "203.0.113.1"),
            line("backup", "wan1", "203.0.113.74/26", "203.0.113.65"),
        ],
        "machines": {
            "gw1": {
                "kind": "gateway",
                "ports": {"wan0": "uplink", "wan1": "uplink", "lan0": "trunk", "mgt0": "management"},
                "ssh": f"127.0.0.1:{port}",
            },
            "vp01": desk("office"),
            "mc01": desk("counter"),
        },
        "options": {"network": {"line_probes": [FAR], "line_return_seconds": RETURN_SECONDS}},
    }


def line(name: str, interface: str, address: str, gateway: str) -> dict[str, Any]:
    rates = {"down": "10mbit", "up": "10mbit"}
    return {"name": name, "interface": interface, "address": address, "gateway": gateway, **rates}


def desk(zone: str) -> dict[str, Any]:
    return {"kind": "unmanaged", "zone": zone, "mac": MACS[zone], "address": DESKS[zone], "what": "pc"}


def province(key: str, public: str) -> dict[str, Any]:
    """`province.yaml`. key: the engineer's; public: of the province's end of the support path."""
    meeting = {"title": "Họp", "url": "https://hop.gialai.gov.vn/", "media": [3478]}
    path = {"endpoint": f"{FAR}:51820", "public_key": public, "prefixes": ["10.52.252.0/24"]}
    return {
        "province": {"name": "Gia Lai", "slug": "gia-lai", "code": "52", "domain": "gialai.gov.vn"},
        "supernet": "10.52.0.0/14",
        "support": {"user": "hotro", "keys": [key]},
        "upstream": {"meeting": meeting, "support_path": path},
    }


@dataclass(frozen=True)
class Laptop:
    """Where the engineer works."""

    environment: dict[str, str]
    province_key: str
    """Private key of the province's end of the support path."""

    def lienxa(self, *words: str, code: int = 0, seconds: float = 1200) -> str:
        """The command; fails with all it said unless it ends with this code."""
        done = subprocess.run(
            [sys.executable, "-m", "deploy.cli", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=self.environment,
            timeout=seconds,
        )
        assert done.returncode == code, f"lienxa {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout


@contextmanager
def laptop(folder: Path, port: int) -> Iterator[Laptop]:
    """The inventory written, its secrets made, the engineer's key in an agent as on every engineer's laptop."""
    key, home, private = folder / "engineer", folder / "inventories", make_key()
    (home / SLUG).mkdir(parents=True)
    write(home / "province.yaml", province(key.with_suffix(".pub").read_text().strip(), public_key(private)))
    write(home / SLUG / "commune.yaml", written(port))
    socket = folder / "agent"
    agent = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", "ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL
    )
    environment = os.environ | {
        "SSH_AUTH_SOCK": str(socket),
        "LIENXA_INVENTORIES": str(home),
        "LIENXA_IDENTITY": str(key),
    }
    try:
        wait_for(socket)
        subprocess.run(["ssh-add", "-q", str(key)], env=environment, check=True)
        made = Laptop(environment, private)
        made.lienxa("secrets", "generate", SLUG)
        yield made
    finally:
        agent.terminate()
        agent.wait()


def write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")


def wait_for(path: Path) -> None:
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.05)


def engineers_key(folder: Path) -> Path:
    """A new key of the engineer's."""
    key = folder / "engineer"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "engineer", "-f", str(key)])
    return key
