"""The laptop's package cache: a private squid on loopback, reached by machines through their SSH connection."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

DISK_MB = 5000
_SPOOL = Path("/var/spool/squid")
"""Where a squid started by root sees its folder, in a mount namespace of its own: it drops to the user `proxy`,
to whom root's home is closed."""

_CONFIG = """\
# Made by lienxa. Packages never change under their name; indexes are asked for again each time.
http_port 127.0.0.1:{port}
pid_filename {folder}/squid.pid
cache_log {folder}/cache.log
access_log stdio:{folder}/access.log
coredump_dir {folder}
cache_dir aufs {folder}/cache {disk} 16 256
maximum_object_size 1 GB
cache_mem 32 MB
cache_replacement_policy heap LFUDA
visible_hostname lienxa-laptop
forwarded_for delete
via off
# What was revalidated with it on cannot be read again after a restart (Squid 5.7: another key in the file).
collapsed_forwarding off
quick_abort_min -1 KB
range_offset_limit none
negative_ttl 0 seconds
shutdown_lifetime 1 seconds
pinger_enable off
acl here src 127.0.0.1/32 ::1/128
acl packages port 80 443
acl tls port 443
acl CONNECT method CONNECT
acl reading method GET HEAD
http_access deny !here
http_access deny to_localhost
http_access deny !packages
http_access deny CONNECT !tls
http_access allow CONNECT
http_access allow reading
http_access deny all
# A package once fetched is right for ever: its name has its version. By-hash files have their content's hash as name.
refresh_pattern -i \\.u?deb$ 129600 100% 129600 override-expire ignore-reload ignore-no-store
refresh_pattern -i /by-hash/ 129600 100% 129600 override-expire ignore-reload ignore-no-store
refresh_pattern -i /(InRelease|Release|Release\\.gpg)$ 0 0% 0 refresh-ims
refresh_pattern -i /(Packages|Sources|Translation-.*)(\\.(gz|xz|bz2))?$ 0 0% 0 refresh-ims
refresh_pattern . 0 20% 1440
{upstream}"""
_OFFLINE = """\
# What is kept is right as it is, and nothing else is there.
offline_mode on
never_direct allow all
"""


class CacheError(RuntimeError):
    """The package cache cannot start; the message says why and what to do."""


def ensure_cache(*, offline: bool | None = False) -> int:
    """The port of the running cache on 127.0.0.1; starts it when it is not running. Safe to call from anywhere.

    `offline`: it serves what it has and asks nobody; None: as it is. There is one cache: CacheError while a run uses
    it the other way.
    """
    folder = cache_folder()
    with _locked(folder):
        port = _recorded_port(folder)
        if port is not None and _running(folder) is not None and _answers(port):
            if offline is None or _is_offline(folder) is offline:
                return port
            _refuse_while_used(folder, offline=offline)
        _stop(folder)
        return _start(folder, port, offline=bool(offline))


@contextmanager
def cache_in_use(*, offline: bool | None = False) -> Iterator[int]:
    """The running cache's port; as long as this lasts, nobody can turn the cache over."""
    folder = cache_folder()
    with (folder.parent / "squid.used").open("w") as handle:
        port = ensure_cache(offline=offline)
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield port


def stop_cache() -> None:
    """Stop the cache if it runs. What it holds stays on the disk."""
    folder = cache_folder()
    with _locked(folder):
        _stop(folder)


def cache_folder() -> Path:
    """Where the cache lives: `~/.cache/lienxa/squid`, or what LIENXA_PACKAGE_CACHE names."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("LIENXA_PACKAGE_CACHE") or base / "lienxa" / "squid").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _is_offline(folder: Path) -> bool:
    try:
        return "\noffline_mode on\n" in (folder / "squid.conf").read_text()
    except FileNotFoundError:
        return False


def _refuse_while_used(folder: Path, *, offline: bool) -> None:
    with (folder.parent / "squid.used").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            now, wanted = ("online", "offline") if offline else ("offline", "online")
            raise CacheError(
                f"another run is using the package cache {now}, and it cannot be {wanted} at the same time: wait for "
                "the end of that run"
            ) from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder.parent / "squid.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _recorded_port(folder: Path) -> int | None:
    try:
        return int((folder / "port").read_text())
    except (FileNotFoundError, ValueError):
        return None


def _running(folder: Path) -> int | None:
    """Process id of our squid, if the recorded one is still it and not a stranger that got its number."""
    try:
        pid = int((folder / "process").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return pid if b"squid" in command[0] and str(_seen(folder) / "squid.conf").encode() in command else None


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _seen(folder: Path) -> Path:
    """The folder as squid sees it."""
    return _SPOOL if os.geteuid() == 0 else folder


def _start(folder: Path, port: int | None, *, offline: bool) -> int:
    program = shutil.which("squid", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise CacheError("squid is not installed on this laptop: run `make setup`")
    port = port if port is not None and not _answers(port) else _free_port()
    _prepare(folder, port, offline=offline)
    config = str(_seen(folder) / "squid.conf")
    making = subprocess.run(_inside(folder, [program, "-N", "-z", "-f", config]), capture_output=True, check=False)
    if making.returncode != 0:
        raise CacheError(f"squid cannot make its cache in {folder}: {making.stderr.decode().strip()[-400:]}")
    running = subprocess.Popen(
        _inside(folder, [program, "-N", "-f", config]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    (folder / "process").write_text(str(running.pid))
    (folder / "port").write_text(str(port))
    _wait_until_it_answers(running, port, folder)
    return port


def _wait_until_it_answers(running: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = time.monotonic() + 20
    while not _answers(port):
        if running.poll() is not None or time.monotonic() > deadline:
            raise CacheError(f"squid does not start; its words are in {folder / 'cache.log'}")
        time.sleep(0.05)


def _inside(folder: Path, command: list[str]) -> list[str]:
    """The command where it sees the folder; the laptop itself sees nothing of the mount."""
    if os.geteuid() != 0:
        return command
    script = 'mount --bind "$0" "$1" && shift && exec "$@"'
    return ["unshare", "--mount", "--", "sh", "-c", script, str(folder), str(_SPOOL), *command]


def _prepare(folder: Path, port: int, *, offline: bool) -> None:
    upstream = _OFFLINE if offline else _parent()
    text = _CONFIG.format(port=port, folder=_seen(folder), disk=DISK_MB, upstream=upstream)
    config = folder / "squid.conf"
    config.unlink(missing_ok=True)
    config.touch(mode=0o600)  # a parent proxy's password may be in it
    config.write_text(text)
    if os.geteuid() == 0:
        _SPOOL.mkdir(parents=True, exist_ok=True)
        owner = pwd.getpwnam("proxy")
        os.chown(folder, owner.pw_uid, owner.pw_gid)


def _parent() -> str:
    """The proxy that this laptop itself has to use, from `http_proxy`."""
    given = os.environ.get("http_proxy") or os.environ.get("HTTP_PROXY")
    if not given:
        return ""
    proxy = urlsplit(given if "//" in given else f"http://{given}")
    login = f" login={proxy.username}:{proxy.password}" if proxy.username else ""
    return (
        f"cache_peer {proxy.hostname} parent {proxy.port or 3128} 0 no-query no-digest default{login}\n"
        "never_direct allow all\n"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _stop(folder: Path) -> None:
    pid = _running(folder)
    if pid is not None:
        os.kill(pid, signal.SIGINT)  # at once: SIGTERM waits for clients
        deadline = time.monotonic() + 10
        while _running(folder) is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        if _running(folder) is not None:
            os.kill(pid, signal.SIGKILL)
    for name in ("process", "squid.pid"):
        (folder / name).unlink(missing_ok=True)
