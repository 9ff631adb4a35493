"""The machine's own guard: keeps what may cut people off, and puts it back unless the laptop gets in anew.

While a run changes things, `watch` runs as a systemd unit of its own (`lienxa-guard.service`, which also starts at
boot while something is armed). It puts everything back when the laptop does not confirm in time, when the run dies,
and when the machine is started again meanwhile. It is copied beside what it keeps, so it needs no kit: it must stay
one file and import the standard library only.

A guard is a folder, `/var/lib/lienxa/guard/<run>-<number>/`, for root alone:
`before.json`, the state to go back to (it has keys and password hashes in it; gone once nothing is armed any more),
and `status.json`, where the guard stands. Whoever decides does so under one lock.
"""

from __future__ import annotations

import base64
import fcntl
import grp
import hashlib
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

BASE = Path("/var/lib/lienxa/guard")
UNIT = "lienxa-guard.service"
UNIT_FILE = Path("/etc/systemd/system") / UNIT
UNIT_TEXT = f"""\
# Written by lienxa. Puts back what a change has cut off, unless the laptop confirms it over a new connection.
[Unit]
Description=lienxa: put back what cut the laptop off
ConditionPathExistsGlob={BASE}/*/before.json
RequiresMountsFor={BASE}
After=systemd-networkd.service networking.service NetworkManager.service nftables.service ssh.service
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=/usr/bin/python3 -I -B {BASE}/guard.py watch
Restart=on-failure
RestartSec=1
UMask=0077
OOMScoreAdjust=-900

[Install]
WantedBy=multi-user.target
"""

UNITS = (
    "ssh.service",
    "ssh.socket",
    "systemd-networkd.service",
    "networking.service",
    "NetworkManager.service",
    "nftables.service",
)
UNIT_PATTERNS = ("wg-quick@*.service", "lienxa-pppoe@*.service")
NETWORKS = (
    "/etc/systemd/network",
    "/etc/network",
    "/etc/netplan",
    "/etc/NetworkManager",
    "/etc/wireguard",
    "/etc/ppp",
)
TREES = (
    *NETWORKS,
    *("/etc/nftables.conf", "/etc/nftables.d", "/etc/ssh", "/etc/sudoers", "/etc/sudoers.d"),
    *("/etc/hosts.allow", "/etc/hosts.deny", "/etc/security", "/etc/pam.d", "/etc/nologin", "/etc/nsswitch.conf"),
    *("/etc/sysctl.conf", "/etc/sysctl.d"),
    *(f"/etc/systemd/system/{unit}{suffix}" for unit in UNITS for suffix in ("", ".d")),
)
"""Everything in a file or folder that can cut the laptop off; beside it the support account's own."""

WORK_SECONDS = 900.0
"""How long a role may go on once it has changed something of the above, before that is put back."""
SETTLE_SECONDS = 20.0
"""How long addresses and routes may take to be back after a roll-back."""
_LINGER_SECONDS = 5.0
_TICK_SECONDS = 0.2
_LOOK_SECONDS = 5.0
_OURS_TO_DELETE = frozenset({"vlan", "bridge", "bond", "wireguard", "dummy", "macvlan", "vxlan", "tun", "ifb"})
_ARMED = frozenset({"working", "waiting", "condemned", "rolling_back"})

State = dict[str, Any]
"""What `look` sees: JSON values."""
Status = dict[str, Any]


# ---------------------------------------------------------------------------------------------------- the state


def look(user: str) -> State:
    """Everything that decides whether this account can get in from outside, as it is now."""
    return {
        "user": user,
        "files": _files(user),
        "account": _account(user),
        "rules": _output("nft", "-s", "list", "ruleset"),
        "units": _units(),
        "links": _links(),
        "addresses": _addresses(),
        "routes": _routes(),
        "policies": sorted(_json("ip", "-j", "rule"), key=str),
        "kernel": _kernel(),
    }


def differences(before: State, now: State) -> list[str]:
    """In what `now` is not as `before`, in words; empty where nobody could tell them apart."""
    found = [path for path in sorted({*before["files"], *now["files"]}) if _file_differs(path, before, now)]
    if before["account"] != now["account"]:
        found.append(f"account {before['user']}")
    if before["rules"] != now["rules"]:
        found.append("nftables rules")
    units, links = (sorted({*before[part], *now[part]}) for part in ("units", "links"))
    found += [f"unit {name}" for name in units if _unit(before, name) != _unit(now, name)]
    found += [f"link {name}" for name in links if before["links"].get(name) != now["links"].get(name)]
    for word, part in (("address", "addresses"), ("route", "routes")):
        old, new = before[part], now[part]
        found += [f"{word} {key} is gone" for key in sorted(old.keys() - new.keys())]
        found += [f"{word} {key} is new" for key in sorted(new.keys() - old.keys())]
    if before["policies"] != now["policies"]:
        found.append("routing rules")
    both = sorted(before["kernel"].keys() & now["kernel"].keys())
    return found + [f"kernel {key}" for key in both if before["kernel"][key] != now["kernel"][key]]


def _unit(state: State, name: str) -> list[str]:
    """One that is not there is as one that is off: what a package brought stays installed."""
    unit: list[str] = state["units"].get(name, ["disabled", "off"])
    return unit


def _files(user: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for tree in TREES:
        _note(Path(tree), found, deep=True)
    with suppress(KeyError):
        home = Path(pwd.getpwnam(user).pw_dir)
        _note(home, found, deep=False)
        _note(home / ".ssh", found, deep=True)
    return found


def _note(path: Path, found: dict[str, Any], *, deep: bool) -> None:
    try:
        seen = path.lstat()
    except OSError:
        return
    owner = [stat.S_IMODE(seen.st_mode), seen.st_uid, seen.st_gid]
    if stat.S_ISLNK(seen.st_mode):
        found[str(path)] = ["link", str(path.readlink())]
    elif stat.S_ISREG(seen.st_mode):
        found[str(path)] = ["file", owner, base64.b64encode(path.read_bytes()).decode()]
    elif stat.S_ISDIR(seen.st_mode):
        found[str(path)] = ["directory", owner]
        for entry in sorted(path.iterdir()) if deep else ():
            _note(entry, found, deep=True)


def _file_differs(path: str, before: State, now: State) -> bool:
    old, new = before["files"].get(path), now["files"].get(path)
    if old == new:
        return False
    # A package that was installed meanwhile brought it: dpkg would never bring it again.
    return not (old is None and new is not None and _is_packages_own(path, new))


def _is_packages_own(path: str, entry: list[Any]) -> bool:
    if entry[0] == "directory":
        return _conffiles_below(path)
    if entry[0] != "file":
        return False
    return _conffiles().get(path) == hashlib.md5(base64.b64decode(entry[2]), usedforsecurity=False).hexdigest()


def _conffiles_below(folder: str) -> bool:
    return any(path.startswith(f"{folder}/") for path in _conffiles())


def _conffiles() -> dict[str, str]:
    """MD5 by path of every configuration file that dpkg has installed."""
    try:
        text = Path("/var/lib/dpkg/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = (line.split() for line in text.splitlines() if line.startswith(" /etc/"))
    return {words[0]: words[1] for words in lines if len(words) >= 2}


def _account(user: str) -> dict[str, Any]:
    found = {f"{file}:{user}": _line_of(user, Path("/etc") / file) for file in ("passwd", "shadow")}
    with suppress(KeyError):
        own = grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
        found |= {f"{file}:{own}": _line_of(own, Path("/etc") / file) for file in ("group", "gshadow")}
    return {"lines": found, "groups": sorted(group.gr_name for group in grp.getgrall() if user in group.gr_mem)}


def _line_of(name: str, path: Path) -> str | None:
    with suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            if line.startswith(f"{name}:"):
                return line
    return None


def _units() -> dict[str, list[str]]:
    """[enabled or not, running or not], by name, of the units that are there."""
    shown = _output("systemctl", "show", "--property=Id,LoadState,UnitFileState,ActiveState", *UNITS, *UNIT_PATTERNS)
    found = {}
    for block in (shown or "").split("\n\n"):
        unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if unit.get("LoadState") in ("loaded", "masked"):
            running = "on" if unit["ActiveState"] in ("active", "activating", "reloading") else "off"
            found[unit["Id"]] = [unit["UnitFileState"], running]
    return found


def _links() -> dict[str, Any]:
    return {
        link["ifname"]: {
            "up": "UP" in link["flags"],
            "master": link.get("master"),
            "mtu": link["mtu"],
            "kind": link.get("linkinfo", {}).get("info_kind", ""),
        }
        for link in _json("ip", "-j", "-d", "link")
        if _is_lasting(link["ifname"])
    }


def _is_lasting(interface: str) -> bool:
    """Whether it is not one that a dialled line makes and takes away by itself."""
    return not interface.startswith("ppp")


def _addresses() -> dict[str, Any]:
    """By interface and address; one that the network gave is there or not, whatever it is."""
    found = {}
    for link in _json("ip", "-j", "address"):
        for entry in link.get("addr_info", ()):
            given = bool(entry.get("dynamic"))
            if entry["scope"] == "link" or (given and entry["family"] == "inet6") or not _is_lasting(link["ifname"]):
                continue
            text = f"{entry['local']}/{entry['prefixlen']}"
            known = {"dev": link["ifname"], "address": text, "broadcast": entry.get("broadcast"), "given": given}
            found[f"{link['ifname']} {'(lease)' if given else text}"] = known
    return found


def _routes() -> dict[str, Any]:
    """Main table, by what makes a route that one; those that kernel and router advertisements make aside."""
    found = {}
    for family in ("-4", "-6"):
        for route in _json("ip", "-j", family, "route"):
            if route.get("protocol") in ("kernel", "ra") or not _is_lasting(route.get("dev", "")):
                continue
            words = [route.get("type", "unicast"), route["dst"]]
            given = route.get("protocol") == "dhcp"
            for word in ("dev", "metric") if given else ("gateway", "dev", "metric"):
                words += [word, str(route[word])] if word in route else []
            found[" ".join([family, *words])] = route | {"family": family}
    return found


def _kernel() -> dict[str, str]:
    found = {}
    paths = [Path("/proc/sys/net/ipv4/ip_forward")]
    for pattern in (
        "ipv4/conf/*/forwarding",
        "ipv4/conf/*/rp_filter",
        "ipv6/conf/all/*forwarding",
        "ipv6/conf/*/disable*6",
    ):
        paths += sorted(Path("/proc/sys/net").glob(pattern))
    for path in paths:
        with suppress(OSError):
            found[str(path.relative_to("/proc/sys"))] = path.read_text(encoding="ascii").strip()
    return found


# ---------------------------------------------------------------------------------------------------- going back


def restore(before: State) -> list[str]:
    """Go back to a state. Returns in what the machine is not as it was then; empty: all is back."""
    changed = differences(before, look(before["user"]))
    for step in (_restore_files, _restore_account, _restore_kernel, _restore_rules, _restore_units):
        _try(step, before, changed)
    end = time.monotonic() + SETTLE_SECONDS
    half = time.monotonic() + SETTLE_SECONDS / 2
    while True:
        _try(_restore_network, before, time.monotonic() > half)
        left = differences(before, look(before["user"])) + _not_served()
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.3)


def _try(step: Callable[..., None], *arguments: object) -> None:
    """One part that cannot be put back must not keep the others from it; what is not as before is found later."""
    try:
        step(*arguments)
    except Exception as error:  # noqa: BLE001
        sys.stderr.write(f"lienxa guard: {step.__name__}: {type(error).__name__}: {error}\n")


def _not_served() -> list[str]:
    """What keeps sshd from letting people in, though its files are as they were."""
    if not shutil.which("sshd", path="/usr/sbin"):
        return []
    checked = _run("/usr/sbin/sshd", "-t")
    return [f"sshd -t: {checked.stderr.strip()}"] if checked.returncode else []


def _restore_files(before: State, changed: list[str]) -> None:
    now = _files(before["user"])
    for path in sorted(now, reverse=True):
        old, new = before["files"].get(path), now[path]
        is_new = old is None and _file_differs(path, before, {"files": now})
        if is_new or (old is not None and old[0] != new[0]):
            _remove(Path(path), new[0])
    for path, entry in sorted(before["files"].items()):
        if now.get(path) != entry:
            _try(_put, Path(path), entry)


def _remove(path: Path, what: str) -> None:
    if what != "directory":
        path.unlink()
        return
    with suppress(OSError):  # one with something in it that is not ours to remove
        path.rmdir()


def _put(path: Path, entry: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.lienxa")
    if entry[0] == "directory":
        path.mkdir(exist_ok=True)
        _own(path, entry[1])
    elif entry[0] == "link":
        new.unlink(missing_ok=True)
        new.symlink_to(entry[1])
        new.replace(path)
    else:
        _write(new, base64.b64decode(entry[2]))
        _own(new, entry[1])
        new.replace(path)


def _own(path: Path, owner: list[int]) -> None:
    os.chown(path, owner[1], owner[2])
    path.chmod(owner[0])


def _restore_account(before: State, changed: list[str]) -> None:
    """The account's own lines: other accounts, which packages may have made meanwhile, stay."""
    user, old, now = before["user"], before["account"], _account(before["user"])
    for place, line in old["lines"].items():
        if line != now["lines"].get(place):
            file, _, name = place.partition(":")
            _put_line(name, Path("/etc") / file, line)
    for group in old["groups"]:
        if group not in now["groups"]:
            _run("usermod", "-a", "-G", group, "--", user)
    for group in now["groups"]:
        if group not in old["groups"]:
            _run("gpasswd", "-d", user, group)


def _put_line(name: str, path: Path, line: str | None) -> None:
    seen = path.stat()
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    there = next((number for number, text in enumerate(lines) if text.startswith(f"{name}:")), len(lines))
    lines[there : there + 1] = [] if line is None else [line]
    new = path.with_name(f".{path.name}.lienxa")
    _write(new, "".join(f"{text}\n" for text in lines).encode("utf-8", "surrogateescape"))
    _own(new, [stat.S_IMODE(seen.st_mode), seen.st_uid, seen.st_gid])
    new.replace(path)


def _restore_kernel(before: State, changed: list[str]) -> None:
    for key, value in before["kernel"].items():  # ip_forward first: it sets all the others
        with suppress(OSError):
            path = Path("/proc/sys") / key
            if path.read_text(encoding="ascii").strip() != value:
                path.write_text(value, encoding="ascii")


def _restore_rules(before: State, changed: list[str]) -> None:
    if "nftables rules" in changed:
        # One transaction: there is no moment with half of the rules.
        _run("nft", "-f", "-", given=f"flush ruleset\n{before['rules'] or ''}")


def _restore_units(before: State, changed: list[str]) -> None:
    _run("systemctl", "daemon-reload")
    there = _units()
    for unit in sorted({*before["units"], *there}):
        (enabled, running), now = _unit(before, unit), there.get(unit, ["", "off"])
        if enabled in ("enabled", "disabled") and now[0] != enabled:
            _run("systemctl", "unmask", unit)
            _run("systemctl", enabled.removesuffix("d"), unit)
        if running == "on" and (now[1] == "off" or _must_read_again(unit, changed)):
            _run("systemctl", "reset-failed", unit)
            _run("systemctl", "restart", unit)
        elif running == "off" and now[1] == "on":
            _run("systemctl", "stop", unit)


def _must_read_again(unit: str, changed: list[str]) -> bool:
    if unit == "nftables.service":  # its rules are back already; a restart would open everything for a moment
        return False
    if unit.startswith("ssh"):
        return True
    words = ("link", "address", "route", "routing", f"/etc/systemd/system/{unit}", *NETWORKS)
    return any(what.startswith(words) for what in changed)


def _restore_network(before: State, late: bool) -> None:
    """By hand, beside whatever manages the interfaces: what the kernel had is what it gets."""
    _restore_links(before)
    _restore_addresses(before, late)
    _restore_routes(before, late)
    _restore_policies(before)


def _restore_links(before: State) -> None:
    links = _links()
    for name in links.keys() - before["links"].keys():
        if links[name]["kind"] in _OURS_TO_DELETE:
            _run("ip", "link", "delete", name)
    for name, old in before["links"].items():
        if name in links and links[name] != old:
            master = ("master", old["master"]) if old["master"] else ("nomaster",)
            _run("ip", "link", "set", name, *master)
            _run("ip", "link", "set", name, "up" if old["up"] else "down", "mtu", str(old["mtu"]))


def _restore_addresses(before: State, late: bool) -> None:
    addresses = _addresses()
    for key in addresses.keys() - before["addresses"].keys():
        if not addresses[key]["given"]:
            _run("ip", "address", "delete", addresses[key]["address"], "dev", addresses[key]["dev"])
    for key, old in before["addresses"].items():
        # What the network gives it gives again, if it is let; only when it does not, the old one has to serve.
        if key not in addresses and (late or not old["given"]):
            broadcast = ("broadcast", old["broadcast"]) if old["broadcast"] else ()
            _run("ip", "address", "replace", old["address"], *broadcast, "dev", old["dev"])


def _restore_routes(before: State, late: bool) -> None:
    routes = _routes()
    for key in routes.keys() - before["routes"].keys():
        if routes[key].get("protocol") != "dhcp":
            _run("ip", routes[key]["family"], "route", "delete", *_route_words(routes[key]))
    for key, old in before["routes"].items():
        if key not in routes and (late or old.get("protocol") != "dhcp"):
            _run("ip", old["family"], "route", "replace", *_route_words(old))


def _route_words(route: dict[str, Any]) -> list[str]:
    words = [route.get("type", "unicast"), str(route["dst"])]
    names = {
        "gateway": "via",
        "dev": "dev",
        "metric": "metric",
        "protocol": "proto",
        "prefsrc": "src",
        "scope": "scope",
    }
    for name, word in names.items():
        words += [word, str(route[name])] if name in route else []
    return [*words, *(flag for flag in route.get("flags", ()) if flag == "onlink")]


def _restore_policies(before: State) -> None:
    now = _json("ip", "-j", "rule")
    for rule in now:
        if rule not in before["policies"]:
            _run("ip", "rule", "delete", "pref", str(rule["priority"]))
    for rule in before["policies"]:
        if rule not in now:
            words = ["pref", str(rule["priority"]), "from", _prefix(rule, "src"), "to", _prefix(rule, "dst")]
            _run("ip", "rule", "add", *words, "table", str(rule.get("table", "main")))


def _prefix(rule: dict[str, Any], key: str) -> str:
    length = rule.get(f"{key}len")
    return str(rule.get(key, "all")) + (f"/{length}" if length is not None else "")


# ---------------------------------------------------------------------------------------------------- a guard


class NotArmedError(Exception):
    """The guard does not watch: nothing may be changed."""


def arm(name: str, user: str, base: Path = BASE) -> State:
    """Keep the state as it is and have it watched from now on, for as long as this process lives.

    Returns the state. Raises NotArmedError, OSError; nothing may be changed then.
    """
    folder = base / name
    before = look(user)
    _install(base)
    folder.mkdir(mode=0o700)
    _write(folder / "before.json", json.dumps(before).encode())
    with locked(base):
        write_status(
            folder,
            {"phase": "working", "boot": _boot(), "pid": os.getpid(), "began": _began(os.getpid()), "user": user},
        )
    end = time.monotonic() + 20
    while not (folder / "watched").exists():
        started = _run("systemctl", "start", UNIT)
        if started.returncode or time.monotonic() > end:
            forget(folder)
            raise NotArmedError(f"{UNIT} does not watch: {started.stderr.strip() or 'it does not answer'}")
        _until((folder / "watched").exists, 2)
    return before


def ask(folder: Path, seconds: float) -> None:
    """From now on the laptop has so many seconds to confirm."""
    now = _uptime()
    with locked(folder.parent):
        status = read_status(folder)
        if status["phase"] == "working":
            write_status(folder, status | {"phase": "waiting", "since": now, "deadline": now + seconds})


def condemn(folder: Path, reason: str) -> None:
    """Have it put back at once."""
    with locked(folder.parent):
        status = read_status(folder)
        if status["phase"] == "working":
            write_status(folder, status | {"phase": "condemned", "reason": reason})


def release(folder: Path) -> bool:
    """Nothing that matters was changed, so nothing has to be watched. False: it was put back already."""
    with locked(folder.parent):
        if read_status(folder)["phase"] != "working":
            return False
        forget(folder)
        return True


def confirm(folder: Path) -> dict[str, Any]:
    """The laptop got in. Counts only over a connection that is younger than the change, and only in time."""
    with locked(folder.parent):
        try:
            status = read_status(folder)
        except OSError:
            return {"confirmed": False, "phase": "gone"}
        if status["phase"] != "waiting":
            return {"confirmed": status["phase"] == "confirmed", "phase": status["phase"]}
        if not _is_new_connection(status["since"]):
            return {"confirmed": False, "phase": "waiting", "why": "this is no new connection"}
        write_status(folder, status | {"phase": "confirmed"})
        (folder / "before.json").unlink(missing_ok=True)
    return {"confirmed": True, "phase": "confirmed"}


def goes_down() -> bool:
    """Whether the machine is being switched off or started again."""
    return _run("systemctl", "is-system-running").stdout.strip() == "stopping"


def forget(folder: Path) -> None:
    """Remove a guard and all that it kept."""
    (folder / "before.json").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def undecided(base: Path = BASE) -> bool:
    """Whether an earlier run's changes may still be put back: whoever changes something now would be in the way."""
    for folder in base.glob("*/"):
        with suppress(OSError, ValueError):
            if read_status(folder)["phase"] in _ARMED:
                return True
    return False


def rolled_back(base: Path = BASE) -> list[tuple[Path, Status]]:
    """What was put back and is still to be told, oldest first."""
    found = []
    for folder in sorted(base.glob("*/")):
        with suppress(OSError, ValueError):
            status = read_status(folder)
            if status["phase"] == "rolled_back":
                found.append((folder, status))
    return found


def read_status(folder: Path) -> Status:
    """Where a guard stands. Raises OSError where there is none."""
    status: Status = json.loads((folder / "status.json").read_bytes())
    return status


def write_status(folder: Path, status: Status) -> None:
    """In one step, and on the disk when this returns."""
    _write(folder / "status.json.new", json.dumps(status).encode())
    (folder / "status.json.new").replace(folder / "status.json")


@contextmanager
def locked(base: Path) -> Iterator[None]:
    """Only one decides at a time: the watch, the run, or whoever confirms."""
    descriptor = os.open(base / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _install(base: Path) -> None:
    """This file beside what it keeps, and the unit, also for the next boot."""
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = Path(__file__).read_bytes()
    if not _has(base / "guard.py", own):
        _write(base / "guard.py", own)
    if _has(UNIT_FILE, UNIT_TEXT.encode()):
        return
    _write(UNIT_FILE, UNIT_TEXT.encode())
    UNIT_FILE.chmod(0o644)
    _run("systemctl", "daemon-reload")
    enabled = _run("systemctl", "enable", "--quiet", UNIT)
    if enabled.returncode:
        UNIT_FILE.unlink()
        raise NotArmedError(f"{UNIT} cannot be enabled: {enabled.stderr.strip()}")


def _is_new_connection(since: float) -> bool:
    """Whether every sshd that stands between this process and the listening one is younger than that."""
    found = False
    pid = os.getpid()
    while pid > 1:
        name, parent, began = _process(pid)
        if name.startswith("sshd") and parent != 1:
            found = True
            if began < since - 0.1:
                return False
        pid = parent
    return found


# ---------------------------------------------------------------------------------------------------- the watch


def watch(base: Path = BASE) -> None:
    """Decide about every guard that is armed, until none has been for a while."""
    look_at_files: dict[Path, float] = {}
    idle_since = time.monotonic()
    while time.monotonic() - idle_since < _LINGER_SECONDS:
        for folder in sorted(base.glob("*/")):
            if _watch_one(folder, look_at_files):
                idle_since = time.monotonic()
        time.sleep(_TICK_SECONDS)


def _watch_one(folder: Path, look_at_files: dict[Path, float]) -> bool:
    """Whether it is armed (or has just been put back)."""
    with locked(folder.parent):
        try:
            status = read_status(folder)
        except (OSError, ValueError):
            _forget_torn(folder)
            return False
        if status["phase"] not in _ARMED:
            return False
        (folder / "watched").touch()
        reason = _why(folder, status, look_at_files)
        if reason is None:
            return True
        if reason == "":
            forget(folder)
            return True
        if goes_down():
            return True  # what stops now stops in any case; it is put back after the restart
        status = {key: value for key, value in status.items() if key != "deadline"}
        write_status(folder, status | {"phase": "rolling_back", "reason": reason})
    before = json.loads((folder / "before.json").read_bytes())
    left = restore(before)
    with locked(folder.parent):
        write_status(folder, status | {"phase": "rolled_back", "reason": reason, "left": left, "at": time.time()})
        (folder / "before.json").unlink(missing_ok=True)
    return True


def _forget_torn(folder: Path) -> None:
    """A guard that was cut off before it was armed: nothing had been changed."""
    if time.time() - folder.stat().st_mtime > 60:
        forget(folder)


def _why(folder: Path, status: Status, look_at_files: dict[Path, float]) -> str | None:
    """Why it has to be put back; None: not (yet); empty: never, nothing was changed."""
    phase = status["phase"]
    if phase in ("condemned", "rolling_back"):
        return str(status["reason"])
    if status["boot"] != _boot():
        return "the machine was started again before the change was confirmed"
    if phase == "waiting":
        waited = status["deadline"] - status["since"]
        return (
            None if _uptime() < status["deadline"] else f"nobody got in over a new connection within {waited:.0f} s"
        )
    if _began(status["pid"]) != status["began"]:
        return "the run was cut off in the middle of a change" if _is_changed(folder) else ""
    return _too_long(folder, status, look_at_files)


def _too_long(folder: Path, status: Status, look_at_files: dict[Path, float]) -> str | None:
    now = time.monotonic()
    if now - look_at_files.get(folder, 0.0) < _LOOK_SECONDS:
        return None
    look_at_files[folder] = now
    if "changed" in status:
        late = _uptime() > status["changed"] + WORK_SECONDS
        return f"the role was not done {WORK_SECONDS / 60:.0f} minutes after its first change" if late else None
    if _is_changed(folder):
        write_status(folder, status | {"changed": _uptime()})
    return None


def _is_changed(folder: Path) -> bool:
    before: State = json.loads((folder / "before.json").read_bytes())
    return bool(differences(before, look(before["user"])))


# ---------------------------------------------------------------------------------------------------- small things


def _write(path: Path, body: bytes) -> None:
    """For root alone, and on the disk when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())


def _has(path: Path, body: bytes) -> bool:
    try:
        return path.read_bytes() == body
    except OSError:
        return False


def _run(*command: str, given: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


def _output(*command: str) -> str | None:
    done = _run(*command)
    return None if done.returncode else done.stdout


def _json(*command: str) -> list[dict[str, Any]]:
    text = _output(*command)
    return [entry for entry in json.loads(text) if entry] if text and text.strip() else []


def _until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)


def _uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _boot() -> str:
    """Another one after every start of the machine, in a container too."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip() + f"/{_began(1)}"


def _began(pid: int) -> float | None:
    """When a process began, in seconds since the kernel did; None where there is none."""
    try:
        return _process(pid)[2]
    except OSError:
        return None


def _process(pid: int) -> tuple[str, int, float]:
    """Name, parent, and when it began."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    return name, int(fields[1]), int(fields[19]) / os.sysconf("SC_CLK_TCK")


def main(arguments: list[str]) -> int:
    """`watch`; `confirm NAME`, `look USER`: answer with JSON."""
    match arguments:
        case ["watch"]:
            watch()
        case ["confirm", name]:
            print(json.dumps(confirm(BASE / Path(name).name)))  # noqa: T201
        case ["look", user]:
            print(json.dumps(look(user)))  # noqa: T201
        case _:
            return 2
    return 0


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main(sys.argv[1:]))
