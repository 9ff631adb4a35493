"""What a rehearsal leaves behind: which packages, lists and kits a commune needs, and whether the laptop has them.

After `apply --lab` each machine is asked what it has fetched. That is written down beside the cache, which is
asked for each of them later, without going anywhere.
"""

from __future__ import annotations

import email.utils
import http.client
import json
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.fleet.kit import Kits
from deploy.fleet.links import Links
from deploy.fleet.package_cache import cache_folder
from deploy.inventory.atomic import write_atomically
from deploy.inventory.site import Frozen, Site

_ASK = """\
import glob, gzip, json, platform, re, subprocess, sys
def say(*words):
    return subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
def uris(names):
    return re.findall(r"^'([^']+)' \\S+ ([0-9]+) ", say("apt-get", "download", "--print-uris", *names), re.M)
names = set()
for file in glob.glob("/var/log/apt/history.log*"):
    text = (gzip.open if file.endswith(".gz") else open)(file, "rt").read()
    for line in re.findall("^(?:Install|Reinstall|Upgrade): (.*)$", text, re.M):
        for name, versions in re.findall(r"(\\S+) \\(([^)]*)\\)", line):
            names.add(name + "=" + versions.replace(", automatic", "").split(", ")[-1])
names = sorted(names)
found = uris(names) if names else []
if len(found) < len(names):
    found = [uri for name in names for uri in uris([name])]
form = "$(BASE_URI)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ARCHITECTURE)"
lists = [line.split("|") for line in say("apt-get", "indextargets", "--format", form, "Created-By: Packages").split()]
release = re.search('^VERSION_ID="?([0-9]+)', open("/etc/os-release").read(), re.M)[1]
print(json.dumps({"release": release, "python": "%d.%d" % sys.version_info[:2], "arch": platform.machine(),
                  "packages": found, "lists": lists}))
"""
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class PackageList(Frozen):
    """One component of a Debian archive."""

    base: str
    """`…/dists/trixie/`, with `InRelease` below it."""
    repository: str
    suite: str
    component: str
    arch: str


class Package(Frozen):
    """A package file as it is fetched. Size in bytes."""

    url: str
    size: int


class Rehearsal(Frozen):
    """What the machines of one Debian release have fetched."""

    release: str
    roles: tuple[str, ...]
    """Those that were applied."""
    kits: tuple[tuple[str, str], ...]
    """Python version and architecture of each runtime."""
    lists: tuple[PackageList, ...]
    packages: tuple[Package, ...]


class Manifest(Frozen):
    """What a commune's machines need, as its rehearsal has shown."""

    commune: str
    at: datetime
    commit: str | None = None
    rehearsals: tuple[Rehearsal, ...]

    def sources(self) -> dict[str, tuple[str, ...]]:
        """Lines for APT's sources.list, by Debian release: those mirrors of which the cache has everything."""
        return {each.release: tuple(sorted(_sources(each.lists))) for each in self.rehearsals}


@dataclass(frozen=True)
class ListState:
    """A package list in the cache."""

    url: str
    valid_until: datetime | None
    """None: it does not say, so APT takes it at any time."""


@dataclass(frozen=True)
class CacheStatus:
    """Whether the laptop has all that a commune's machines need."""

    manifest: Manifest | None
    missing: tuple[str, ...] = ()
    """URLs that the cache does not have, kits that are not made, and what was never rehearsed, in words."""
    lists: tuple[ListState, ...] = ()

    @property
    def expired(self) -> tuple[ListState, ...]:
        """Lists that APT takes no more."""
        return tuple(each for each in self.lists if each.valid_until and each.valid_until <= datetime.now(UTC))

    @property
    def valid_until(self) -> datetime | None:
        """When the first list expires."""
        return min((each.valid_until for each in self.lists if each.valid_until), default=None)

    @property
    def ready(self) -> bool:
        """Whether `apply --offline` can be done."""
        return self.manifest is not None and not self.missing and not self.expired


def record(site: Site, links: Links, machines: Iterable[str], commit: str | None) -> Manifest:
    """Ask the machines what they have fetched, and write it down. Raises LinkError."""
    names = tuple(machines)
    with ThreadPoolExecutor(8) as threads:
        said = dict(zip(names, threads.map(lambda name: _ask(links, name), names), strict=True))
    releases = sorted({answer["release"] for answer in said.values()})
    manifest = Manifest(
        commune=site.commune.slug,
        at=datetime.now(UTC).replace(microsecond=0),
        commit=commit,
        rehearsals=tuple(_rehearsal(site, release, said) for release in releases),
    )
    file = _file(site.commune.slug)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, manifest.model_dump_json(indent=1) + "\n")
    return manifest


def read(commune: str) -> Manifest | None:
    """What the last rehearsal of the commune has shown; None where there was none."""
    try:
        return Manifest.model_validate_json(_file(commune).read_bytes())
    except FileNotFoundError:
        return None


def look(site: Site, port: int, kits: Kits) -> CacheStatus:
    """Hold what the commune needs against what the cache at this port of the laptop has. Asks nobody else."""
    manifest = read(site.commune.slug)
    if manifest is None:
        return CacheStatus(None)
    missing = list(_never_rehearsed(site, manifest))
    lists: list[ListState] = []
    for each in manifest.rehearsals:
        missing += [f"the kit for Python {kit[0]} on {kit[1]}" for kit in each.kits if not kits.has_runtime(*kit)]
        for target in each.lists:
            state, absent = _list(port, target)
            lists += [state] if state and state not in lists else []
            missing += absent
        missing += _absent(port, [package.url for package in each.packages])
    return CacheStatus(manifest, tuple(dict.fromkeys(missing)), tuple(lists))


def _file(commune: str) -> Path:
    return cache_folder().parent / "rehearsed" / f"{commune}.json"


def _ask(links: Links, machine: str) -> dict[str, Any]:
    done = links.run(machine, ["env", "LC_ALL=C.UTF-8", "python3", "-I", "-"], _ASK.encode(), timeout=300)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _rehearsal(site: Site, release: str, said: dict[str, dict[str, Any]]) -> Rehearsal:
    own = {name: answer for name, answer in said.items() if answer["release"] == release}
    keys = ("base", "repository", "suite", "component", "arch")
    lists = {tuple(row) for answer in own.values() for row in answer["lists"]}
    packages = {(url, int(size)) for answer in own.values() for url, size in answer["packages"]}
    return Rehearsal(
        release=release,
        roles=tuple(sorted({role for name in own for role in site.machine(name).roles})),
        kits=tuple(sorted({(answer["python"], answer["arch"]) for answer in own.values()})),
        lists=tuple(PackageList(**dict(zip(keys, row, strict=True))) for row in sorted(lists)),
        packages=tuple(Package(url=url, size=size) for url, size in sorted(packages)),
    )


def _sources(lists: Iterable[PackageList]) -> Iterator[str]:
    for each in lists:
        yield f"deb [signed-by={_KEYRING}] {each.repository} {each.suite} {each.component}"


def _never_rehearsed(site: Site, manifest: Manifest) -> Iterator[str]:
    """Of a machine whose release nobody wrote, any release that was rehearsed will do: it is as it was installed."""
    for machine in site.machines:
        if machine.managed:
            release = machine.debian
            known = {role for each in manifest.rehearsals if release in (None, each.release) for role in each.roles}
            new = [role for role in machine.roles if role not in known]
            if new:
                on = f" on Debian {release}" if release else ""
                yield f"what {machine.name} needs{on}: {', '.join(new)} was not rehearsed"


def _list(port: int, target: PackageList) -> tuple[ListState | None, list[str]]:
    """A list's validity, and the URLs below it that the cache does not have."""
    url = f"{target.base}InRelease"
    text = _get(port, url)
    if text is None:
        return None, [url]
    state = ListState(url, _valid_until(text))
    index = f"{target.component}/binary-{target.arch}/Packages.xz"
    found = re.search(rf"^ ([0-9a-f]{{64}}) +[0-9]+ {re.escape(index)}$", text, re.MULTILINE)
    if found is None:
        return state, [f"{target.base}{index}"]
    path = index.rpartition("/")[0]
    return state, list(_absent(port, [f"{target.base}{path}/by-hash/SHA256/{found[1]}"]))


def _valid_until(release: str) -> datetime | None:
    found = re.search(r"^Valid-Until: (.+)$", release, re.MULTILINE)
    return email.utils.parsedate_to_datetime(found[1].replace("UTC", "+0000")) if found else None


def _absent(port: int, urls: Iterable[str]) -> Iterator[str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for url in urls:
        connection.request("HEAD", url, headers=_ONLY_CACHED)
        answer = connection.getresponse()
        answer.read()
        if answer.status != http.client.OK:
            yield url
    connection.close()


def _get(port: int, url: str) -> str | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", url, headers=_ONLY_CACHED)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return body.decode("utf-8", "replace") if answer.status == http.client.OK else None


_ONLY_CACHED = {"Cache-Control": "only-if-cached, max-stale=315360000"}
"""RFC 9111, section 5.2.1: whatever its age, but ask nobody."""
