"""Debian packages: installed without recommends, without questions, and without starting half-configured services."""

from __future__ import annotations

import re
import shlex
from collections.abc import Generator
from dataclasses import dataclass
from typing import Unpack

from deploy.inventory.site import PACKAGES
from deploy.runner.context import Context
from deploy.runner.operations.script import Arguments, Reason, Script
from deploy.runner.pyinfra_api import FactBase, OperationMeta, StringCommand, host, operation

FRESH_HOURS = 6
"""Package lists older than this are fetched anew before something is installed."""
_STAMP = "/var/lib/lienxa/apt-updated"
_GUARD = "/usr/sbin/policy-rc.d"
_GUARD_MARK = "# lienxa: services start when their configuration is in place"


def packages(ctx: Context, *extra: str, **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make the card's packages (and `extra` ones) be installed; their services are not started by that."""
    wanted = tuple(dict.fromkeys((*ctx.role.packages, *extra)))
    arguments.setdefault("name", f"Packages of {ctx.role.name}")
    return _packages(names=wanted, cache=_cache(ctx), **arguments)


def keep_fetched(ctx: Context, **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make the commune's cache on this machine have what the machine has fetched before it was there.

    Package lists, and what the cache itself depends on. Done once, right after the cache was installed; at the next
    apply where the line did not last for it.
    """
    arguments.setdefault("name", "What was fetched before is in the cache")
    return _keep_fetched(cache=_cache(ctx), **arguments)


def _cache(ctx: Context) -> str:
    offered = ctx.site.service(PACKAGES, ctx.machine)
    return offered[1] if offered else ""


@dataclass(frozen=True)
class PackageStates:
    """What dpkg and APT say."""

    installed: frozenset[str]
    fresh: bool
    """Whether the lists were fetched less than six hours ago, after the last change of a source."""
    interrupted: bool
    """Whether dpkg was cut off in the middle of its work."""
    guarded: bool
    """Whether a run that was cut off left its guard against service starts."""


class PackageFact(FactBase[PackageStates]):
    """Everything about all packages in one command: what one role has asked the next need not."""

    def command(self) -> str:
        """Lines `package NAME STATUS`, then words."""
        return (
            "dpkg-query -W -f='package ${binary:Package} ${db:Status-Abbrev}\\n' 2>/dev/null; "
            f'if [ -n "$(ls /var/lib/apt/lists/ 2>/dev/null | grep -m1 Packages)" ]'
            f' && [ -n "$(find {_STAMP} -mmin -{FRESH_HOURS * 60} 2>/dev/null)" ]'
            f' && [ -z "$(find /etc/apt/sources.list /etc/apt/sources.list.d -newer {_STAMP} 2>/dev/null)" ]; '
            "then echo fresh; fi; "
            'if [ -n "$(ls /var/lib/dpkg/updates/ 2>/dev/null)" ]'
            " || grep -qsE '^Status: .* (half-installed|unpacked|half-configured)$' /var/lib/dpkg/status; "
            "then echo interrupted; fi; "
            f"if grep -qsF {shlex.quote(_GUARD_MARK)} {_GUARD}; then echo guarded; fi"
        )

    @staticmethod
    def default() -> PackageStates:
        """A machine of which nothing is known."""
        return PackageStates(frozenset(), fresh=False, interrupted=False, guarded=False)

    def process(self, output: list[str]) -> PackageStates:
        """Parse it. A package of a foreign architecture has it in its name, `libc6:i386`."""
        entries = [line.split() for line in output if line.startswith("package ")]
        return PackageStates(
            installed=frozenset(entry[1].split(":")[0] for entry in entries if entry[2:3] in (["ii"], ["hi"])),
            fresh="fresh" in output,
            interrupted="interrupted" in output,
            guarded="guarded" in output,
        )


_INSTALL = """\
set -eu
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 APT_LISTCHANGES_FRONTEND=none
cache={cache} beside=
listens() {{ timeout 2 bash -c ": </dev/tcp/${{1%:*}}/${{1##*:}}" 2>/dev/null; }}
answers() {{
    # Any answer will do. The question also makes it look whether the laptop's cache is there by now.
    timeout 10 bash -c "exec 3<>/dev/tcp/${{1%:*}}/${{1##*:}} && echo 'GET http://anybody.invalid/dists/ HTTP/1.0
' >&3 && read -r said <&3" 2>/dev/null
}}
way() {{
    # The commune's cache, what the run brings with it, or none; not what the machine uses at other times. The cache
    # is given up after a while, what the run brings waits for a laptop that is away.
    if [ -n "$cache" ] && [ -z "$beside" ] && answers "$cache"; then
        echo "-o Acquire::http::Proxy=http://$cache/ -o Acquire::http::Timeout=120 -o Acquire::Retries=10"
    elif listens "$LIENXA_PACKAGES"; then echo "-o Acquire::http::Proxy=http://$LIENXA_PACKAGES/"
    else echo "-o Acquire::http::Proxy=DIRECT"; fi
}}
apt() {{
    # -c: read after the machine's own settings. Only the lists that installing needs, and whole: what other machines
    # have fetched is in the cache.
    # shellcheck disable=SC2046
    apt-get -y -q -o Acquire::Retries=3 ${{APT_CONFIG:+-c "$APT_CONFIG"}} ${{LIENXA_PACKAGES:+$(way)}} \\
        -o Acquire::Languages=none -o Acquire::PDiffs=false -o APT::Get::List-Cleanup=false \\
        -o Acquire::IndexTargets::deb-src::Sources::DefaultEnabled=false -o DPkg::Lock::Timeout=300 \\
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0 "$@" </dev/null
}}
update() {{
    # APT waits for dpkg's lock by itself, but not for that of the lists.
    for try in 1 2 3 4 5 6 7 8 9 10 11 12; do
        if said=$(apt -o APT::Update::Error-Mode=any update 2>&1); then
            mkdir -p -- {stamp_folder}; touch -- {stamp}; return 0
        fi
        case $said in *"lists/lock"*) sleep 5 ;; *) break ;; esac
    done
    printf '%s\\n' "$said" >&2
    return 1
}}
kept=
unguard() {{
    rm -f -- {guard}
    if [ -n "$kept" ]; then mv -T -- "$kept" {guard}; fi
}}
trap unguard EXIT
trap 'exit 1' HUP INT TERM
if [ -e {guard} ] && ! grep -qsF {mark} {guard}; then
    kept={guard}.before-lienxa
    mv -T -- {guard} "$kept"
fi
printf '#!/bin/sh\\n%s\\nexit 101\\n' {mark} >{guard}
chmod 0755 {guard}
if [ -n "$(ls /var/lib/dpkg/updates/)" ] || dpkg --audit | grep -q .; then
    dpkg --force-confdef --force-confold --configure -a </dev/null
fi
{install}"""
_KEPT = "/var/spool/squid/.lienxa-kept"
_KEEP = """\
set -eu
scratch=$(mktemp -d /var/lib/apt/lienxa-keep.XXXXXX)
trap 'rm -rf -- "$scratch"' EXIT
mkdir -p "$scratch/lists/partial" "$scratch/archives/partial"
chmod -R a+rX -- "$scratch"
chown -R _apt -- "$scratch/lists/partial" "$scratch/archives/partial"
apt() {{
    apt-get -y -q ${{APT_CONFIG:+-c "$APT_CONFIG"}} -o Acquire::http::Proxy=http://{cache}/ \\
        -o Acquire::http::Proxy-Auto-Detect= -o Acquire::Languages=none \\
        -o Acquire::http::Timeout=120 -o Acquire::Retries=20 -o Acquire::Retries::Delay=true \\
        -o Acquire::IndexTargets::deb-src::Sources::DefaultEnabled=false \\
        -o Dir::State::Lists="$scratch/lists" -o Dir::Cache::Archives="$scratch/archives" "$@" </dev/null
}}
# The line may be away for longer than APT is patient. That costs the others a fetch over the line each, not this run.
if ! apt -o APT::Update::Error-Mode=any update; then
    echo 'not now; the next apply tries again' >&2
    exit 0
fi
installed=$(zcat -f /var/log/apt/history.log* | sed -n 's/^Install: //p' | sed 's/([^)]*)//g; s/,/ /g')
again() {{ apt --reinstall --no-install-recommends --download-only install "$@"; }}
# Some may be gone from the lists since; the others still count.
# shellcheck disable=SC2086
again $installed || for name in $installed; do again "$name" || :; done
touch {mark}
"""
_UPDATE = "update || { beside=yes; update; }\n"
_GET = """\
{update}if ! apt install --no-install-recommends -- {names}; then
    # Lists that are older than the mirror name files that are gone, a cache may be broken: once more, without both.
    beside=yes
    update
    apt install --no-install-recommends -- {names}
fi
"""


@operation()
def _packages(names: tuple[str, ...], cache: str) -> Generator[StringCommand, None, None]:
    now = host.get_fact(PackageFact)
    missing = [name for name in names if name not in now.installed]
    if missing or now.interrupted:
        yield _install(missing, cache, fresh=now.fresh)
    elif now.guarded:
        yield StringCommand(f"rm -f -- {_GUARD}")


@operation()
def _keep_fetched(cache: str) -> Generator[StringCommand, None, None]:
    if not host.get_fact(KeptFact):
        yield Script(
            _KEEP.format(cache=shlex.quote(cache), mark=_KEPT),
            summary=f"apt-get through {cache}: update, and what is installed already",
        )


class KeptFact(FactBase[bool]):
    """Whether that was done."""

    def command(self) -> str:
        """One line, or none."""
        return f"if [ -e {_KEPT} ]; then echo kept; fi"

    @staticmethod
    def default() -> bool:
        """A machine of which nothing is known."""
        return False

    def process(self, output: list[str]) -> bool:
        """Parse it."""
        return bool(output)


def _install(missing: list[str], cache: str, *, fresh: bool) -> Script:
    names = " ".join(shlex.quote(name) for name in missing)
    steps = (
        [*([] if fresh else ["apt-get update"]), f"apt-get install {names}"] if missing else ["dpkg --configure -a"]
    )
    return Script(
        _INSTALL.format(
            stamp=_STAMP,
            stamp_folder=_STAMP.rpartition("/")[0],
            guard=_GUARD,
            mark=shlex.quote(_GUARD_MARK),
            cache=shlex.quote(cache),
            install=_GET.format(update="" if fresh else _UPDATE, names=names) if missing else "",
        ),
        summary="; ".join(steps),
        explain=_why_not_installed,
    )


_CAUSES = (
    (
        r"not valid yet|Release file .* is expired",
        "the package source's signatures do not fit the machine's clock",
        "Set the clock (`date`, `timedatectl`) and apply again.",
    ),
    (
        r"Unable to locate package|has no installation candidate",
        "a package is not in the machine's sources",
        "Compare the role's card with the machine's Debian release and its /etc/apt/sources.list*.",
    ),
    (
        r"Malformed (entry|line|stanza)|list of sources could not be read|NO_PUBKEY|not signed|not have a Release",
        "the machine's package sources are broken",
        "Correct /etc/apt/sources.list* on the machine until `apt-get update` is content; then apply again.",
    ),
    (
        r"Temporary failure resolving|Could not connect|Connection (timed out|refused)|Network is unreachable",
        "the machine cannot reach its package source",
        "Look at the line and at the laptop's package cache; then apply again: what was fetched is kept.",
    ),
    (
        r"No space left on device|You don't have enough free space",
        "no room on the disk for the packages",
        "Free some space (`df -h`, `apt-get clean`, `journalctl --vacuum-size=100M`) and apply again.",
    ),
    (
        r"Could not get lock|Unable to acquire the dpkg frontend lock|is another process using it",
        "another program is installing packages on the machine",
        "Wait until it is done (`ps -ef | grep -e apt -e dpkg`), then apply again.",
    ),
    (
        r"Read-only file system",
        "the machine's file system is read-only",
        "Look at `dmesg` for disk errors; a disk that fails has to be replaced.",
    ),
    (
        r"held broken packages|unmet dependencies",
        "the packages do not fit what is installed",
        "On the machine: `apt-get -f install`, `apt-mark showhold`; then apply again.",
    ),
)


def _why_not_installed(output: str) -> Reason:
    errors = re.findall(r"^(?:E|dpkg): ?(.*)$", output, flags=re.MULTILINE)
    said = f": {errors[0]}" if errors else ""
    for pattern, cause, next_step in _CAUSES:
        if re.search(pattern, output):
            return Reason(f"{cause}{said}", next_step)
    return Reason(
        f"APT could not install the packages{said}", "On the machine: `dpkg --audit`, `apt-get -f install`."
    )
