"""What a rehearsal left, held against what the cache has: complete, incomplete, expired, never rehearsed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sample_site import sample_site

from deploy.fleet.kit import Kits
from deploy.fleet.rehearsed import Manifest, Package, PackageList, Rehearsal, _file, look
from deploy.inventory.site import Site

BASE = "http://mirror.invalid/debian/dists/trixie/"
DEB = "http://mirror.invalid/debian/pool/main/s/squid/squid_6_amd64.deb"
HASH = "ab" * 32
INDEX = f"{BASE}main/binary-amd64/by-hash/SHA256/{HASH}"


class Cache:
    """Stands in for squid: what it has by URL; whoever does not say `only-if-cached` is a mistake."""

    def __init__(self) -> None:
        self.has: dict[str, str] = {}
        cache = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                assert "only-if-cached" in self.headers["Cache-Control"]
                body = cache.has.get(self.path)
                self.send_response(504 if body is None else 200)
                self.send_header("Content-Length", str(len(body or "")))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write((body or "").encode())

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]

    def fill(self, valid: timedelta) -> None:
        until = format_datetime(datetime.now(UTC) + valid).replace("+0000", "UTC")
        listed = f"Valid-Until: {until}\nSHA256:\n {HASH} 9 main/binary-amd64/Packages.xz\n"
        self.has = {f"{BASE}InRelease": listed, INDEX: "", DEB: ""}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cache]:
    monkeypatch.setenv("LIENXA_PACKAGE_CACHE", str(tmp_path / "squid"))
    made = Cache()
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    made.fill(timedelta(days=3))
    yield made
    made.server.shutdown()


@pytest.fixture
def kits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kits:
    made = Kits(cache=tmp_path)
    monkeypatch.setattr(Kits, "has_runtime", lambda *_: True)
    return made


def rehearse(roles: tuple[str, ...] = ("base", "network", "page")) -> None:
    target = PackageList(
        base=BASE, repository="http://mirror.invalid/debian/", suite="trixie", component="main", arch="amd64"
    )
    rehearsal = Rehearsal(
        release="13", roles=roles, kits=(("3.13", "x86_64"),), lists=(target,), packages=(Package(url=DEB, size=7),)
    )
    file = _file("xa-mau")
    file.parent.mkdir(parents=True)
    file.write_text(Manifest(commune="xa-mau", at=datetime.now(UTC), rehearsals=(rehearsal,)).model_dump_json())


def site() -> Site:
    whole = sample_site()
    machines = tuple(m.model_copy(update={"debian": "13"}) for m in whole.machines)
    return whole.model_copy(update={"machines": machines})


def test_complete_and_fresh_is_ready(cache: Cache, kits: Kits) -> None:
    rehearse()
    found = look(site(), cache.port, kits)
    assert (found.ready, found.missing, found.expired) == (True, (), ())
    assert found.valid_until is not None
    assert timedelta(days=2) < found.valid_until - datetime.now(UTC) < timedelta(days=3)


@pytest.mark.parametrize("gone", [f"{BASE}InRelease", INDEX, DEB])
def test_what_is_missing_is_named(cache: Cache, kits: Kits, gone: str) -> None:
    rehearse()
    del cache.has[gone]
    found = look(site(), cache.port, kits)
    assert not found.ready
    assert found.missing == (gone,)


def test_an_expired_list_is_named(cache: Cache, kits: Kits) -> None:
    rehearse()
    cache.fill(timedelta(hours=-1))
    found = look(site(), cache.port, kits)
    assert not found.ready
    assert [each.url for each in found.expired] == [f"{BASE}InRelease"]


def test_a_kit_that_is_not_made_is_missing(cache: Cache, kits: Kits, monkeypatch: pytest.MonkeyPatch) -> None:
    rehearse()
    monkeypatch.setattr(Kits, "has_runtime", lambda *_: False)
    assert look(site(), cache.port, kits).missing == ("the kit for Python 3.13 on x86_64",)


def test_a_role_that_came_since_the_rehearsal_is_missing(cache: Cache, kits: Kits) -> None:
    rehearse(roles=("base", "network"))
    assert look(site(), cache.port, kits).missing == ("what srv1 needs on Debian 13: page was not rehearsed",)


def test_without_a_rehearsal_nothing_is_ready(cache: Cache, kits: Kits) -> None:
    found = look(site(), cache.port, kits)
    assert (found.ready, found.manifest) == (False, None)


def test_offline_takes_packages_from_the_rehearsed_mirrors(cache: Cache) -> None:
    rehearse()
    manifest = Manifest.model_validate_json(_file("xa-mau").read_bytes())
    (line,) = manifest.sources()["13"]
    assert line.startswith("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ")
    assert line.endswith(" http://mirror.invalid/debian/ trixie main")
