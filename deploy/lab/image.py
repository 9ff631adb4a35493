"""Images of lab machines: Debian as its installer leaves it, made from packages by mmdebstrap."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from deploy.errors import LabError
from deploy.fleet.kit import KitError, install
from deploy.fleet.package_cache import ensure_cache
from deploy.lab.laptop import LABEL, as_root, cache_dir, locked, run

SUITES = {"12": "bookworm", "13": "trixie"}
REPOSITORY = "localhost/lienxa"
UNUSED_SECONDS = 3 * 86400.0

_INSTALLED = ("ca-certificates", "dbus", "openssh-server", "python3", "sudo", "systemd-sysv")
_CLIENT = ("systemd-resolved", "systemd-timesyncd")
_TINH = (
    "baresip-core",
    "bind9-dnsutils",
    "chrony",
    "coturn",
    "curl",
    "dovecot-imapd",
    "kamailio",
    "kamailio-tls-modules",
    "knot",
    "libsasl2-modules",
    "nginx",
    "postfix",
    "python3-dkim",
    "rspamd",
    "rtpengine-daemon",
    "sasl2-bin",
    "tcpdump",
    "unbound",
    "wireguard-go",
    "wireguard-tools",
)

PYTHON_PACKAGES = "/usr/lib/lienxa-lab/python"
"""Where an image has the Python packages that Debian has not."""

JANUS = "/usr/lib/lienxa-lab/janus"
"""Where tinh has a root of Debian 12 with Janus: no later Debian has it."""

# Without man pages and fsync: what nobody reads in a lab and what makes dpkg slow there.
_DPKG = ("force-unsafe-io", "path-exclude=/usr/share/man/*", "path-exclude=/usr/share/info/*")

# Host keys and machine-id are each machine's own. A lab machine asks for its address by systemd-networkd, which never
# gives up: it boots long before the commune's gateway has anything to lease.
_FINISH = """
set -eu
rm -f "$1"/etc/ssh/ssh_host_*
: > "$1/etc/machine-id"
rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"
chroot "$1" systemctl enable --quiet systemd-networkd.service
chroot "$1" systemctl disable --quiet systemd-networkd-wait-online.service systemd-resolved.service
"""

Listener = Callable[[str, str], None]
"""Told what is going on: the machine (or "" for the lab as a whole) and a sentence."""


@dataclass(frozen=True)
class Recipe:
    """All that decides what is in an image, except the day it is made."""

    name: str
    suite: str
    sources: tuple[str, ...]
    packages: tuple[str, ...]
    files: tuple[tuple[str, str, int], ...]
    """Path, content and mode of what is ours."""
    dpkg: tuple[str, ...] = _DPKG
    finish: str = _FINISH
    python: str = ""
    """The lock of Python packages that Debian has not, with hashes; for Debian 13's Python."""

    @property
    def key(self) -> str:
        """Hash of the content, in hex."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


def machine_image(release: str, listener: Listener = lambda machine, message: None) -> str:
    """Name of the image of a lab machine of Debian `release` ("12" or "13"), made now if there is none this month."""
    return _image(_recipe(f"machine-{release}", release, (*_INSTALLED, *_CLIENT)), listener)


def desk_image(release: str, packages: Sequence[str], listener: Listener = lambda machine, message: None) -> str:
    """The same of a desk that comes with these packages installed."""
    # One program keeps the time: Debian lets no two be installed.
    client = (name for name in _CLIENT if not (name == "systemd-timesyncd" and "chrony" in packages))
    # In an order of their own: whoever asks for the same packages gets the same image.
    return _image(_recipe(f"desk-{release}", release, (*_INSTALLED, *client, *sorted(set(packages)))), listener)


def tinh_image(listener: Listener = lambda machine, message: None) -> str:
    """Name of the image of `tinh`, the province's stand-in."""
    lock = (files("deploy.lab") / "tinh.lock").read_text()
    made = replace(_recipe("tinh", "13", (*_INSTALLED, *_TINH)), python=lock, finish=_FINISH + _janus())
    return _image(made, listener)


def archive_with(
    name: str,
    release: str,
    packages: Sequence[str],
    finish: str,
    listener: Listener = lambda machine, message: None,
) -> Path:
    """A system of Debian `release` with these packages as a compressed tar, for who makes no container of it.

    `finish` is a last script, `$1` its root.
    """
    recipe = _recipe(f"{name}-{release}", release, (*_INSTALLED, *packages))
    with locked(f"image-{recipe.name}"):
        archive = _archive(replace(recipe, finish=_FINISH + finish), listener)
        _forget_unused(recipe.name)
    return archive


def _recipe(name: str, release: str, packages: tuple[str, ...]) -> Recipe:
    if release not in SUITES:
        raise LabError(f"Debian {release} is unknown to the lab; it has {' and '.join(SUITES)}")
    ours = files("deploy.lab") / "files"
    return Recipe(
        name=name,
        suite=SUITES[release],
        sources=_sources(SUITES[release]),
        packages=packages,
        files=(
            ("/usr/lib/lienxa-lab/start", (ours / "start").read_text(), 0o755),
            ("/usr/lib/systemd/system/chrony.service.d/lienxa-lab.conf", (ours / "chrony.conf").read_text(), 0o644),
        ),
    )


def _janus() -> str:
    """A snippet that unpacks Janus and all that it needs below `$1`; nothing of it is set up, nor has to be."""
    sources = " ".join(f'"{line}"' for line in _sources("bookworm"))
    without = "--aptopt='APT::Install-Recommends \"false\"'"
    return f"""
mmdebstrap --variant=extract --mode=root --quiet {without} --include=janus bookworm "$1{JANUS}" {sources}
rm -r "$1{JANUS}/usr/share"
"""


def _sources(suite: str) -> tuple[str, ...]:
    """The laptop's own Debian sources, for that suite. Where it has none (Ubuntu), LIENXA_DEBIAN_MIRROR names one."""
    wanted = "$(SITE)|$(CODENAME)|$(LABEL)"
    listed = run(["apt-get", "indextargets", "--format", wanted, "Created-By: Packages", "Origin: Debian"])
    sources = []
    for line in sorted(set(listed.stdout.decode().split())):
        site, codename, _ = line.split("|")
        own, _, pocket = codename.partition("-")
        if own in SUITES.values() and pocket in ("", "security", "updates"):
            sources.append(f"deb {site} {'-'.join(filter(None, (suite, pocket)))} main")
    if mirror := os.environ.get("LIENXA_DEBIAN_MIRROR"):
        return (f"deb {mirror} {suite} main",)
    if not sources:
        raise LabError("this laptop has no Debian package source; name a Debian mirror in LIENXA_DEBIAN_MIRROR")
    return tuple(sources)


def _image(recipe: Recipe, listener: Listener) -> str:
    with locked(f"image-{recipe.name}"):
        archive = _archive(recipe, listener)
        image = _name_of_image(recipe.name, archive)
        if run(["podman", "image", "exists", image], root=True, check=False).returncode != 0:
            _import(archive, image)
        _forget_unused(recipe.name)
    return image


def _archive(recipe: Recipe, listener: Listener) -> Path:
    """This month's archive of the recipe, made now if there is none. Its lock is held."""
    folder = cache_dir() / "images"
    folder.mkdir(exist_ok=True)
    archive = folder / f"{recipe.name}-{recipe.key}-{datetime.now(UTC):%Y%m}.tar.zst"
    if not archive.exists():
        archive = _make_or_fall_back(recipe, archive, listener)
    archive.touch()
    return archive


def _make_or_fall_back(recipe: Recipe, archive: Path, listener: Listener) -> Path:
    """A new image; where the line does not allow it, last month's of the same recipe will do."""
    listener("", f"making the image {recipe.name} (Debian {recipe.suite}), about a minute")
    try:
        _make(recipe, archive)
    except LabError as error:
        older = sorted(archive.parent.glob(f"{recipe.name}-{recipe.key}-*.tar.zst"))
        if not older:
            raise
        listener("", f"no new image {recipe.name} ({error}); using the one of {older[-1].name[-14:-8]}")
        return older[-1]
    return archive


def _make(recipe: Recipe, archive: Path) -> None:
    for left in archive.parent.glob(f"{recipe.name}-*.part"):
        left.unlink()
    part = archive.with_suffix(".part")
    proxy = f"http_proxy=http://127.0.0.1:{ensure_cache()}"
    with tempfile.TemporaryDirectory(prefix="lienxa-image-") as scratch, part.open("wb") as target:
        command = as_root(["env", proxy, "mmdebstrap", *_arguments(recipe, _python_hooks(recipe, Path(scratch)))])
        try:
            packing = subprocess.Popen(["zstd", "-q", "-1", "-T2", "-c"], stdin=subprocess.PIPE, stdout=target)
            done = subprocess.run(command, stdout=packing.stdin, stderr=subprocess.PIPE, check=False)
        except FileNotFoundError as error:
            raise LabError(f"{error.filename} is not installed on this laptop: run `make setup`") from error
        assert packing.stdin is not None
        packing.stdin.close()
        packed = packing.wait()
    if done.returncode != 0 or packed != 0:
        part.unlink()
        raise LabError(f"mmdebstrap failed: {_errors(done.stderr.decode(errors='replace'))}")
    part.rename(archive)


def _python_hooks(recipe: Recipe, scratch: Path) -> list[str]:
    """Snippets that copy the Python packages below `$1` and compile them; none where the recipe has none."""
    if not recipe.python:
        return []
    try:
        install(recipe.python, "3.13", platform.machine(), scratch / "python")
    except KitError as error:
        raise LabError(str(error)) from error
    return [
        f'mkdir -p "$1{PYTHON_PACKAGES}" && cp -r "{scratch}/python/." "$1{PYTHON_PACKAGES}/"',
        f'chroot "$1" python3 -m compileall -q {PYTHON_PACKAGES}',
    ]


def _errors(said: str) -> str:
    """The last lines that say something: mmdebstrap ends with its cleaning up."""
    telling = [line for line in said.splitlines() if line.startswith(("E:", "W:", "Err:"))]
    return " / ".join((telling or said.splitlines())[-4:])


def _arguments(recipe: Recipe, hooks: Sequence[str]) -> list[str]:
    return [
        "--variant=important",
        "--mode=root",
        "--quiet",
        '--aptopt=APT::Install-Recommends "false"',
        *(f"--dpkgopt={line}" for line in recipe.dpkg),
        f"--include={','.join(recipe.packages)}",
        *(f"--customize-hook={_write_hook(*file)}" for file in recipe.files),
        *(f"--customize-hook={hook}" for hook in hooks),
        f"--customize-hook={recipe.finish}",
        recipe.suite,
        "-",
        *recipe.sources,
    ]


def _write_hook(path: str, content: str, mode: int) -> str:
    """A shell snippet that writes the file below `$1`."""
    return f"install -D -m {mode:o} /dev/stdin \"$1{path}\" <<'LIENXA-END'\n{content}LIENXA-END\n"


def _import(archive: Path, image: str) -> None:
    unpacked = subprocess.Popen(["zstd", "-dcq", str(archive)], stdout=subprocess.PIPE)
    command = as_root(["podman", "import", "--quiet", "--change", f"LABEL {LABEL}=image", "-", image])
    done = subprocess.run(command, stdin=unpacked.stdout, capture_output=True, check=False)
    if unpacked.wait() != 0 or done.returncode != 0:
        archive.unlink()
        raise LabError(
            f"{archive.name} could not be read and was removed ({done.stderr.decode().strip()}); try again"
        )


def _forget_unused(name: str) -> None:
    """Images of the name that no lab has asked for in a while go, unless a machine stands on one.

    Others than the newest stay that long, for two clones of this repository may want two.
    """
    oldest = time.time() - UNUSED_SECONDS
    kept = set()
    for archive in cache_dir().joinpath("images").glob(f"{name}-*.tar.zst"):
        if archive.stat().st_mtime < oldest:
            archive.unlink()
        else:
            kept.add(_name_of_image(name, archive))
    listed = run(["podman", "images", "--format", "{{.Repository}}:{{.Tag}}", f"{REPOSITORY}/{name}"], root=True)
    for image in set(listed.stdout.decode().split()) - kept:
        run(["podman", "rmi", image], root=True, check=False)


def _name_of_image(name: str, archive: Path) -> str:
    return f"{REPOSITORY}/{name}:{archive.name.removesuffix('.tar.zst').removeprefix(name + '-')}"
