"""What the laptop talks to on a machine: takes the kit and the request, starts the runner, follows its journal.

Sent over SSH and executed from standard input as root, so it leaves no file behind and needs nothing but Python 3.11.
It must stay one file and import the standard library only. Both directions are JSON, one object a line; an object
with `"size"` is followed by that many bytes. Every request is answered by one object (`follow` by many), which has
`"error"` where it was refused. The work itself is a systemd unit of its own: this program may die at any moment.
"""

from __future__ import annotations

import errno
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

TYPE_CHECKING = False  # typing's own is slow to import; what takes a kit is imported where a kit is taken
if TYPE_CHECKING:
    import tarfile
    from typing import Any, TypeAlias

    Message: TypeAlias = dict[str, Any]

UNIT = "lienxa-run.service"
KIT_SOCKET = "lienxa-kit.socket"
KEPT_CONTENTS = 2
KEPT_ARCHIVES = 4
_DESCRIPTION = "lienxa run "
_CHUNK = 1 << 16
_FETCH_SECONDS = 15.0
_LOOK_SECONDS = 0.05
_UNIT_LOOK_SECONDS = 2.0
_FIRST_UNIT_LOOK_SECONDS = 1.0
"""A run that was started a moment ago needs no proof that it is on."""
_LEAVING_SECONDS, _LEAVING_LOOK_SECONDS = 10.0, 0.05


class RefusedError(Exception):
    """A request that cannot be granted; the text is for the engineer."""


class Line:
    """Both ends of the connection, as file descriptors."""

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._buffer = b""
        self._due = 0  # bytes of the last request's body that have not been taken yet

    def receive(self) -> Message | None:
        """The next request, or None when the laptop is gone."""
        for _ in self.body():
            pass  # what a refused request left behind
        while b"\n" not in self._buffer:
            if not self._fill():
                return None
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: Message = json.loads(line)
        self._due = message.get("size", 0)
        return message

    def body(self) -> Iterator[bytes]:
        """The bytes that follow a request, in pieces; fewer than its `size` when the laptop is gone."""
        while self._due and (self._buffer or self._fill()):
            piece, self._buffer = self._buffer[: self._due], self._buffer[self._due :]
            self._due -= len(piece)
            yield piece

    def send(self, message: Message) -> None:
        """Raises BrokenPipeError when the laptop is gone."""
        rest = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        while rest:
            rest = rest[os.write(self._sink, rest) :]

    def waiting(self, seconds: float) -> bool:
        """Wait that long at most; whether a request (or the end of the connection) is there to be received."""
        return bool(self._buffer or select.select([self._source], [], [], seconds)[0])

    def _fill(self) -> bool:
        piece = os.read(self._source, _CHUNK)
        self._buffer += piece
        return bool(piece)


class Machine:
    """The machine's own side: its kits, runs and the unit that works. `root` stands before every path, for tests."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.base = root / "var/lib/lienxa"
        self.kits = self.base / "kit"
        self.kept = root / "var/cache/lienxa/kit"
        """Archives as they came, for other machines: no secret is in them, and anybody may read them."""
        self.journals = self.base / "journal"
        self.requests = root / "run/lienxa"
        self.latest = self.requests / "latest.json"
        """What `start` was last asked for: run, order, action, roles, by, since. On tmpfs: gone after a reboot."""
        self.lent_port = self.requests / "package-port"
        """Where the laptop's package cache is found at the moment; the runner's relay reads it."""
        self.guard_seconds = self.requests / "guard-seconds"
        """How long a change of the way in waits for the laptop that follows; the runner's guard reads it."""
        self.root = root

    def prepare(self) -> None:
        """Folders that root alone may look into."""
        for folder in (self.base, self.kits, self.journals, self.requests):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)

    def journal(self, run: str) -> Path:
        """Where the runner writes that run's events."""
        return self.journals / f"{_plain(run)}.jsonl"

    def running(self) -> str | None:
        """The run that the runner's unit is at work on, or None. Raises RefusedError where systemd is silent."""
        shown = _run("systemctl", "show", "--property=ActiveState,Description", UNIT)
        if shown.returncode:
            raise RefusedError(
                f"systemd does not answer ({shown.stderr.strip()}); does it go down, or has it no memory?"
            )
        unit = dict(line.split("=", 1) for line in shown.stdout.splitlines() if "=" in line)
        at_work = unit.get("ActiveState") in ("active", "activating", "reloading", "deactivating")
        return unit["Description"].removeprefix(_DESCRIPTION) if at_work else None

    def at_work(self, run: str | None) -> Message | None:
        """What is known of this run, which is on: its order, action, roles, by and since; None for none."""
        if run is None:
            return None
        latest = self.last_started()
        return latest if latest.get("run") == run else {"run": run} | (self.holder() or {})

    def cut_off(self, running: str | None) -> str | None:
        """The newest run, where it is not the one that is on and ended without a last word."""
        newest = next(iter(self.last_runs(1)), {})
        ended = (newest.get("last") or {}).get("event") == "run_ended"
        return None if not newest or ended or running == newest["run"] else str(newest["run"])

    def last_started(self) -> Message:
        """What `start` was last asked for since the machine was switched on; empty where nothing was."""
        try:
            return _object(self.latest.read_bytes()) or {}
        except FileNotFoundError:
            return {}

    def holder(self) -> Message | None:
        """Who holds the machine, since when and for which run; None when nobody does. Never takes the lock itself."""
        lock = self.base / "lock"
        try:
            inode = str(lock.stat().st_ino)
            held = any(
                " FLOCK " in line and " WRITE " in line and line.split()[5].rpartition(":")[2] == inode
                for line in Path("/proc/locks").read_text(encoding="ascii").splitlines()
            )
            return (_object(lock.read_bytes()) or {"who": "somebody"}) if held else None
        except FileNotFoundError:
            return None

    def debian(self) -> str:
        """The release's number, `13`; empty where it has none."""
        for line in (self.root / "etc/os-release").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition("=")
            if key == "VERSION_ID":
                return value.strip().strip('"')
        return ""

    def is_busy(self) -> bool:
        """Whether a run is on. One that has written its last event and is only leaving is waited for."""
        give_up = time.monotonic() + _LEAVING_SECONDS
        while (run := self.running()) or self.holder():
            if not self.has_ended(run) or time.monotonic() > give_up:
                return True
            time.sleep(_LEAVING_LOOK_SECONDS)
        return False

    def has_ended(self, run: str | None) -> bool:
        """Whether the run, or where its unit is gone already the newest one, has written its last event."""
        journal = self.journal(run) if run else max(self.journals.glob("*.jsonl"), default=None)
        if journal is None or not journal.exists():
            return False
        return (_ends(journal)["last"] or {}).get("event") == "run_ended"

    def last_runs(self, number: int) -> list[Message]:
        """First and last event of the newest runs, newest first."""
        newest = sorted(self.journals.glob("*.jsonl"), reverse=True)[:number]
        return [{"run": path.stem, **_ends(path)} for path in newest]


# ---------------------------------------------------------------------------------------------------- requests


def hello(machine: Machine, _line: Line, message: Message) -> Message:
    """What is here already, so that the laptop sends only what is missing. With `lend`, its package cache is lent."""
    if message.get("lend"):
        lend(machine)
    running = machine.running()
    return {
        "hello": 1,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "debian": machine.debian(),
        "arch": os.uname().machine,
        "boot": (Path("/proc/sys/kernel/random/boot_id")).read_text(encoding="ascii").strip(),
        "time": time.time(),
        "free": _free(machine.kits),
        "kits": sorted(
            path.name for path in machine.kits.iterdir() if path.is_dir() and not path.name.startswith(".")
        ),
        "partial": {path.name: path.stat().st_size for path in machine.kits.glob("*.part")},
        "kept": sorted(path.name for path in machine.kept.glob("*.tar.xz")),
        "hands_out": machine.kept.is_dir() and _run("systemctl", "is-active", "--quiet", KIT_SOCKET).returncode == 0,
        "holder": machine.holder(),
        "running": running,
        "at_work": machine.at_work(running),
        "cut_off": machine.cut_off(running),
    }


def begin(machine: Machine, line: Line, message: Message) -> Message:
    """`hello` and `start` in one round trip, where both kits are here and no run is on; else `hello` alone.

    `runtimes` are the laptop's, by `PYTHON ARCHITECTURE`; `"started"` is in the answer where the run is known now.
    """
    facts = hello(machine, line, message)
    runtime = message["runtimes"].get(f"{facts['python']} {facts['arch']}")
    if facts["at_work"] or not {runtime, message["content"]} <= set(facts["kits"]):
        return facts
    idle = facts["running"] is None and facts["holder"] is None
    answer = _start(machine, line, message | {"runtime": runtime}, idle=idle)
    if "started" not in answer:
        return answer
    return facts | answer


def upload(machine: Machine, line: Line, message: Message) -> Message:
    """Take an archive from `offset` on. What arrived stays when the line drops; whole, it is checked and unpacked.

    With `base`, it holds what is new or other than in that kit, which is here; without the files in `gone`.
    """
    import hashlib  # noqa: PLC0415 slow to import, seldom needed

    name, sha256, total, offset = _plain(message["name"]), message["sha256"], message["total"], message["offset"]
    here = (machine.kits / name).is_dir()
    if here and message.get("keep") != "only":  # a connection that had dropped has brought the rest of it meanwhile
        return {"installed": name}
    part = _own_part(machine.kits / part_name(name, sha256))
    with part.open("ab") as file:
        if offset > file.tell():
            return {"again": f"{name} is here up to byte {file.tell()}, not up to {offset}"}
        file.truncate(offset)
        arrived = offset
        for piece in line.body():
            file.write(piece)
            file.flush()
            arrived += len(piece)
            line.send({"arrived": arrived})
    if arrived < total:
        return {"arrived": arrived}
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        part.unlink()
        raise RefusedError(
            f"{name} arrived damaged (SHA-256 {found[:12]}…); it has been thrown away and is sent again"
        )
    if message.get("keep", "no") != "no":
        keep(machine, part, name, sha256)
    if message.get("keep") != "only":
        base = message.get("base")
        install(part, machine.kits / name, machine.kits / _plain(base) if base else None, message.get("gone", ()))
    part.unlink(missing_ok=True)
    return {"installed": name}


def fetch(machine: Machine, _line: Line, message: Message) -> Message:
    """Take an archive from another machine of the commune. Whatever that one sends: the hash came by SSH."""
    import hashlib  # noqa: PLC0415 slow to import, seldom needed
    import tempfile  # noqa: PLC0415
    from urllib.request import ProxyHandler, build_opener  # noqa: PLC0415

    name, sha256, total = _plain(message["name"]), message["sha256"], message["total"]
    digest = hashlib.sha256()
    handle, path = tempfile.mkstemp(prefix=".fetched-", dir=machine.kits)
    try:
        with (
            os.fdopen(handle, "wb") as file,
            build_opener(ProxyHandler({})).open(message["url"], timeout=_FETCH_SECONDS) as source,
        ):
            while total >= 0 and (piece := source.read(_CHUNK)):
                total -= len(piece)
                digest.update(piece)
                file.write(piece)
        if total or digest.hexdigest() != sha256:
            return {"fetched": False, "why": "it is not what it has to be"}
        install(Path(path), machine.kits / name)
    except (OSError, ValueError, EOFError) as problem:
        return {"fetched": False, "why": str(problem)}
    finally:
        Path(path).unlink(missing_ok=True)
    return {"installed": name}


def start(machine: Machine, line: Line, message: Message) -> Message:
    """Start the runner on a request, once: asked again for the same run it only says that it knows of it."""
    return _start(machine, line, message, idle=False)


def _start(machine: Machine, line: Line, message: Message, *, idle: bool) -> Message:
    """The same; `idle`: it was found out right now that no run is on."""
    run, runtime, content = _plain(message["run"]), _plain(message["runtime"]), _plain(message["content"])
    request = b"".join(line.body())
    if len(request) < message["size"]:
        return {"error": "the request did not arrive whole"}
    path = machine.requests / f"{run}.json"
    if path.exists() or machine.journal(run).exists():
        return {"started": False}
    if not idle and machine.is_busy():
        return {"error": "busy", "holder": machine.at_work(machine.running()) or machine.holder()}
    tidy(machine, keep={runtime, content})
    try:
        _write_private(path, request)
    except FileExistsError:  # a connection that had dropped, and was served late, has just begun it
        return {"started": False}
    known = {key: message.get(key) for key in ("run", "order", "action", "roles", "by")}
    _replace(machine.latest, json.dumps(known | {"since": _utc_now()}).encode())
    done = _run(*unit_command(run, machine.kits / content, machine.kits / runtime))
    if done.returncode:
        path.unlink(missing_ok=True)
        return {"error": f"systemd does not start the runner: {done.stderr.strip()}"}
    return {"started": True}


def follow(machine: Machine, line: Line, message: Message) -> Message:
    """Send a run's events from number `seq` on as they come, until it ends, is gone, or the laptop asks for more.

    `guard_seconds` is how long a change of the way in should wait for this laptop's new connection.
    """
    run, seq = _plain(message["run"]), message["seq"]
    if "guard_seconds" in message:
        _replace(machine.guard_seconds, json.dumps(message["guard_seconds"]).encode())
    tail = Tail(machine.journal(run), seq)
    look_at_unit = time.monotonic() + _FIRST_UNIT_LOOK_SECONDS
    seen_gone = False
    while True:
        gone = False
        if time.monotonic() >= look_at_unit:
            # Asked before the last read: what it wrote before it went is read below. And twice, for who loses power
            # may lose the runner a moment before the line.
            gone, seen_gone = seen_gone, _is_gone(machine, run)
            gone = gone and seen_gone
            look_at_unit = time.monotonic() + _UNIT_LOOK_SECONDS
        for event in tail.read():
            line.send({"event": event})
        if tail.ended:
            return {"followed": run}
        if gone:
            return {"gone": why_gone(machine, run)}
        if line.waiting(_LOOK_SECONDS):
            return {"followed": run}


def _is_gone(machine: Machine, run: str) -> bool:
    """Whether the run's unit has ended; not while the machine goes down, of which the next one who comes hears."""
    try:
        return machine.running() != run and not _goes_down()
    except RefusedError:
        return False


def _goes_down() -> bool:
    """Whether the machine is being switched off or started again."""
    return _run("systemctl", "is-system-running").stdout.strip() == "stopping"


def stop(machine: Machine, _line: Line, _message: Message) -> Message:
    """Ask the run that is on to stop: it gets SIGTERM, ends the operation that is on and writes its last event.

    Does not wait for that: an operation may install packages for an hour, and the line may drop.
    """
    run = machine.at_work(machine.running())
    done = _run("systemctl", "stop", "--no-block", UNIT) if run else None
    return {"stopped": done is not None and not done.returncode, "run": run}


def journal(machine: Machine, line: Line, message: Message) -> Message:
    """Send what a run (the newest, where none is named) has written so far, and whether it is at work."""
    run = message.get("run") or next((each["run"] for each in machine.last_runs(1)), None)
    known = [each["run"] for each in machine.last_runs(10)]
    if run is None:
        raise RefusedError("no run was ever made there")
    if not machine.journal(run).exists():
        raise RefusedError(f"there is no journal of a run {run}; the newest are: {', '.join(known) or 'none'}")
    for event in Tail(machine.journal(run), 0).read():
        line.send({"event": event})
    return {"run": run, "on": machine.running() == run}


def confirm(machine: Machine, _line: Line, message: Message) -> Message:
    """The laptop got in: what a run changed of the way in may stay. Whether it counts, the guard itself knows."""
    script = machine.base / "guard" / "guard.py"
    if not script.exists():
        return {"confirmed": False, "phase": "gone"}
    done = _run("/usr/bin/python3", "-I", "-B", str(script), "confirm", _plain(message["guard"]))
    answer = _object(done.stdout.encode())
    return answer or {"error": f"the guard does not answer: {done.stderr.strip()[-500:]}"}


def status(machine: Machine, _line: Line, message: Message) -> Message:
    """What is known of earlier runs; changes nothing."""
    try:
        state = _object((machine.base / "state.json").read_bytes())
    except FileNotFoundError:
        state = None
    return {
        "state": state,
        "runs": machine.last_runs(message.get("runs", 1)),
        "holder": machine.holder(),
        "running": machine.running(),
    }


REQUESTS: dict[str, Callable[[Machine, Line, Message], Message]] = {
    "hello": hello,
    "begin": begin,
    "upload": upload,
    "fetch": fetch,
    "start": start,
    "follow": follow,
    "stop": stop,
    "journal": journal,
    "confirm": confirm,
    "status": status,
}


def serve(machine: Machine, line: Line) -> None:
    """Answer requests until the laptop is gone."""
    while (message := line.receive()) is not None:
        try:
            machine.prepare()
            answer = REQUESTS[message["do"]](machine, line, message)
        except BrokenPipeError:
            return
        except (RefusedError, OSError) as problem:
            answer = {"error": _in_words(problem)}
        line.send(answer)


# ---------------------------------------------------------------------------------------------------- parts


class Tail:
    """A growing journal, read by event number."""

    def __init__(self, path: Path, seq: int) -> None:
        self.ended = False
        self._path = path
        self._next = seq
        self._offset = 0
        self._rest = b""

    def read(self) -> Iterator[str]:
        """The whole lines that are new, each once, from the wanted number on."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return
        self._offset += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for raw in lines:
            event = _object(raw) or {}
            self.ended = self.ended or event.get("event") == "run_ended"
            if event.get("seq", -1) >= self._next:
                self._next = event["seq"] + 1
                yield raw.decode("utf-8", "replace")


def part_name(name: str, sha256: str) -> str:
    """The file that collects an archive; another laptop's differently packed one collects elsewhere."""
    return f"{name}.{sha256[:12]}.part"


def keep(machine: Machine, archive: Path, name: str, sha256: str) -> None:
    """A copy for the other machines; old ones go."""
    import shutil  # noqa: PLC0415 slow to import, seldom needed

    for folder in (machine.kept.parent, machine.kept):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
    target = machine.kept / f"{name}.{sha256[:12]}.tar.xz"
    new = target.with_suffix(".part")
    shutil.copyfile(archive, new)
    new.chmod(0o644)
    new.replace(target)
    for kind in ("content-*", "runtime-*"):
        found = sorted(machine.kept.glob(kind), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in found[KEPT_ARCHIVES:]:
            old.unlink(missing_ok=True)


def install(archive: Path, target: Path, base: Path | None = None, gone: Sequence[str] = ()) -> None:
    """Unpack next to `target`, on top of `base`, then move there in one step. Takes nothing but plain files."""
    import compileall  # noqa: PLC0415 slow to import, seldom needed
    import shutil  # noqa: PLC0415
    import tarfile  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    try:
        if base:
            shutil.copytree(base, scratch, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            for name in gone:
                _inside(scratch, name).unlink(missing_ok=True)
        with tarfile.open(archive, mode="r:*") as tar:
            for entry in tar:
                _unpack(tar, entry, scratch)
        compileall.compile_dir(scratch, quiet=2, stripdir=str(scratch), prependdir=str(target))
        try:
            scratch.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    except tarfile.TarError as broken:
        raise RefusedError(str(broken)) from broken
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _unpack(tar: tarfile.TarFile, entry: tarfile.TarInfo, scratch: Path) -> None:
    import shutil  # noqa: PLC0415

    body = tar.extractfile(entry) if entry.isreg() else None
    file = _inside(scratch, entry.name)
    if body is None:
        raise RefusedError(f"the archive has something in it that does not belong there: {entry.name}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    with file.open("xb") as out:
        shutil.copyfileobj(body, out)
    os.utime(file, (entry.mtime, entry.mtime))


def _inside(folder: Path, name: str) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise RefusedError(f"the archive has something in it that does not belong there: {name}")
    return folder / path


def lend(machine: Machine) -> None:
    """Note where this connection's forward to the laptop's package cache listens. sshd gave it any free port.

    Each connection has a port of its own, because one that has dropped may hold its port for minutes.
    """
    try:
        inodes = {inode for pid in _ancestors(os.getpid()) for inode in _sockets_of(pid)}
    except OSError:
        return
    for row in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, _, state, *rest = row.split()
        address, _, port = local.partition(":")
        if state == "0A" and address == "0100007F" and rest[5] in inodes:
            _replace(machine.lent_port, str(int(port, 16)).encode())
            return


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        yield pid
        pid = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])


def _sockets_of(pid: int) -> Iterator[str]:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[len("socket:[") : -1]


def tidy(machine: Machine, keep: set[str]) -> None:
    """Remove old kits: the newest contents stay, and the runtimes that are asked for. Only while no run is on."""
    contents = sorted(machine.kits.glob("content-*/"), key=lambda path: path.stat().st_ctime, reverse=True)
    others = [path for path in contents if path.name not in keep]
    old = [
        *others[max(0, KEPT_CONTENTS - len(contents) + len(others)) :],
        *(path for path in machine.kits.glob("runtime-*/") if path.name not in keep),
        *machine.kits.glob(".new-*/"),
    ]
    if old:
        import shutil  # noqa: PLC0415 slow to import, seldom needed

        for path in old:
            shutil.rmtree(path, ignore_errors=True)
    for path in machine.kits.glob(".*.part.*"):
        path.unlink(missing_ok=True)
    week = time.time() - 7 * 86400
    for path in machine.kits.glob("*.part"):
        if path.stat().st_mtime < week:
            path.unlink(missing_ok=True)


def unit_command(run: str, content: Path, runtime: Path) -> list[str]:
    """The runner as a transient unit: it outlives the connection, and nothing it writes is for others to read."""
    return [
        *("systemd-run", "--quiet", "--collect", f"--unit={UNIT}", "--service-type=exec"),
        f"--description={_DESCRIPTION}{run}",
        *("--property=UMask=0077", "--property=PrivateTmp=yes"),
        # A stop is for the runner alone, which ends after the operation that is on: apt must not be cut off half-way.
        *("--property=KillMode=mixed", "--property=TimeoutStopSec=1h"),
        *(f"--setenv=PYTHONPATH={content}:{runtime}", "--setenv=LC_ALL=C.UTF-8", "--setenv=HOME=/root"),
        *("--setenv=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "--"),
        # What the kit has no bytecode for (pytest rewrites checks as it loads them) is written down beside it.
        *("/usr/bin/python3", "-P", "-s", "-m", "deploy.runner", run),
    ]


def why_gone(machine: Machine, run: str) -> Message:
    """Why a run has no last event: the machine was started again, or the runner died; with its last words."""
    journal = machine.journal(run)
    # /run is empty after a boot. The clock alone would not do: it may have been set in mid-run.
    forgotten = machine.last_started().get("run") != run
    rebooted = forgotten and (not journal.exists() or journal.stat().st_mtime < _booted())
    log = _run("journalctl", f"--unit={UNIT}", "--lines=20", "--output=cat", "--no-pager", "--boot")
    (machine.requests / f"{run}.json").unlink(missing_ok=True)
    memory = "oom-kill" in log.stdout or "OOM killer" in log.stdout
    return {"rebooted": rebooted, "begun": journal.exists(), "memory": memory, "log": log.stdout[-4000:]}


def _booted() -> float:
    """When PID 1 began, in seconds since the epoch; right in a container too."""
    uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    began = int(Path("/proc/1/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
    return time.time() - uptime + began / os.sysconf("SC_CLK_TCK")


def _ends(journal: Path) -> Message:
    lines = journal.read_bytes().splitlines()
    last = _object(lines[-1]) if lines else None
    return {"first": _object(lines[0]) if lines else None, "last": last}


_IN_WORDS = {
    errno.ENOSPC: "its disk is full: {}; free some space (`df -h`, `journalctl --vacuum-size=100M`)",
    errno.EDQUOT: "its disk quota is used up: {}; free some space (`df -h`, `quota`)",
    errno.EROFS: "its file system is read-only: {}; look at `dmesg` for disk errors, and at the mounts",
    errno.EIO: "its disk does not answer properly: {}; look at `dmesg`, a disk that fails has to be replaced",
    errno.ENOMEM: "it has no memory left: {}; look at `free -m` and at what takes it",
}


def _in_words(problem: Exception) -> str:
    """For the engineer: the cause by its name, and the next step where there is one."""
    if isinstance(problem, OSError) and problem.errno in _IN_WORDS:
        return _IN_WORDS[problem.errno].format(problem.filename or problem.strerror)
    return str(problem)


def _free(folder: Path) -> int:
    """Bytes that are free on its file system for anybody."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _own_part(part: Path) -> Path:
    """The same file as a copy: a connection that has dropped, and is served late, writes to the old one."""
    import shutil  # noqa: PLC0415 slow to import, seldom needed

    copy = part.with_name(f".{part.name}.{os.getpid()}")
    try:
        shutil.copyfile(part, copy)
        copy.replace(part)
    except FileNotFoundError:
        pass  # the first of it, or the late one has just brought the whole
    return part


def _replace(path: Path, body: bytes) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_bytes(body)
    new.replace(path)


def _utc_now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _object(raw: bytes) -> Message | None:
    """A JSON object, or None where a line was cut off."""
    try:
        value = json.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _plain(name: str) -> str:
    """A name that stays in its folder."""
    if not name or name.startswith(".") or not all(char.isalnum() or char in "-._" for char in name):
        raise RefusedError(f"not a name: {name!r}")
    return name


def _write_private(path: Path, body: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(body)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    os.umask(0o077)
    serve(Machine(), Line(0, 1))
