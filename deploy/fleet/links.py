"""SSH to one commune's machines, with the OpenSSH client alone.

So the engineer's own agent, keys, security tokens and jump hosts work as they do by hand. One configuration file per
way in (`Access`) tells OpenSSH everything; it lives in a private folder and holds no secret.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from deploy.fleet.access import Access
from deploy.inventory.site import LAPTOP_CACHE_PORT

ON_MACHINE_PROXY_PORT = LAPTOP_CACHE_PORT
"""Where the laptop's package cache appears on a machine's loopback while a run is on."""

_LONGEST_SOCKET_FOLDER = 60  # a socket's path has at most 107 bytes, and OpenSSH appends 17 while it makes one
_KEPT_STDERR = 8192


class Trouble(StrEnum):
    """Why a machine could not be worked with over SSH."""

    HOST_KEY_UNKNOWN = "host_key_unknown"
    HOST_KEY_CHANGED = "host_key_changed"
    DENIED = "denied"
    SUDO = "sudo"
    UNREACHABLE = "unreachable"
    """No answer, or the line dropped. The only one that waiting may mend."""


class LinkError(Exception):
    """A machine could not be worked with; says which, why, and what to do next."""

    def __init__(self, machine: str, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.machine = machine
        self.trouble = trouble


class Links:
    """SSH to the machines of one `Access`. A context manager: leaving it ends every connection for good.

    Safe to use from several threads.
    """

    def __init__(self, access: Access, folder: Path | None = None) -> None:
        self.access = access
        self.config = (folder or runtime_folder()) / f"{_digest(access)}.conf"
        _write_private(self.config, render_config(access, self.config))
        self._open: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Links:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def command(self, machine: str, remote: str, *options: str) -> list[str]:
        """The `ssh` command line that runs `remote`, a shell command, on the machine."""
        return ["ssh", "-F", os.fspath(self.config), "-T", *options, "--", machine, remote]

    def run(
        self, machine: str, argv: Sequence[str], stdin: bytes = b"", *, timeout: float | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program on the machine and wait for it. Raises LinkError only where SSH itself did not work."""
        command = self.command(machine, shlex.join(argv))
        try:
            done = subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=timeout)
        except subprocess.TimeoutExpired as late:
            raise LinkError(
                machine, Trouble.UNREACHABLE, f"{machine}: no answer to {argv[0]} within {timeout:.0f} s"
            ) from late
        if done.returncode == 255:
            raise self.explain(machine, done.stderr.decode("utf-8", "replace"))
        return done

    def open(self, machine: str, remote: str, forward: int | None = None, options: Sequence[str] = ()) -> Connection:
        """A connection of its own, open as long as `remote` runs.

        forward: a port on the laptop's loopback that the machine may reach meanwhile, on its own loopback at any port
        that is free: a connection that dropped may hold its port for minutes. The receiver finds out which it is, and
        the runner's relay brings it to `ON_MACHINE_PROXY_PORT`.
        """
        options = ["-o", "ControlMaster=no", "-o", "ControlPath=none", *options]
        if forward is not None:
            options += ["-R", f"127.0.0.1:0:127.0.0.1:{forward}"]
        process = subprocess.Popen(
            self.command(machine, remote, *options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,  # so that one thread may close the pipe another one is writing to
            start_new_session=True,  # Ctrl-C is for lienxa; it closes its connections itself
        )
        with self._lock:
            self._open.add(process)
            if self._closed:
                process.terminate()
        return Connection(process, self)

    def reach(self, machine: str) -> None:
        """Log in and out again. Raises LinkError; behind the gateway it blames whichever of both is at fault."""
        self.run(machine, ["true"], timeout=60)

    def pass_through(self, machine: str, timeout: float) -> None:
        """Go to a machine behind the gateway over new connections all the way; it need not let us in.

        Raises LinkError where there is no way through.
        """
        anew = ["-o", "ControlMaster=no", "-o", "ControlPath=none"]
        jump = shlex.join(["ssh", "-F", os.fspath(self.config), *anew, "-W", "[%h]:%p", "--", self.access.gateway])
        command = self.command(machine, "true", *anew, "-o", f"ProxyCommand={jump}")
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=timeout
            )
        except subprocess.TimeoutExpired as late:
            raise LinkError(machine, Trouble.UNREACHABLE, f"{machine}: no way through the gateway") from late
        error = classify(self.access, machine, done.stderr.decode("utf-8", "replace"))
        if done.returncode == 255 and error.trouble is Trouble.UNREACHABLE:
            raise error

    def explain(self, machine: str, stderr: str) -> LinkError:
        """What SSH's last words mean. Behind the gateway they say little: then the gateway itself is asked."""
        if machine in self.access.behind and not self._closed and not _says_why(stderr):
            try:
                self.reach(self.access.gateway)
            except LinkError as error:
                return LinkError(machine, error.trouble, f"{machine} is reached through {error}")
        return classify(self.access, machine, stderr)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End one of our own connections, if it is still there."""
        with self._lock:
            self._open.discard(process)
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        process.wait()

    def close(self) -> None:
        """End every connection, the shared ones too. Runs at the machines go on."""
        with self._lock:
            self._closed = True
            ours = list(self._open)
        for process in ours:
            self.end(process)
        for machine, socket in sockets(self.access, self.config).items():
            if socket.exists():  # `stop`, not `exit`: another lienxa may be using it, and then it ends with that one
                stop = ["ssh", "-F", os.fspath(self.config), "-O", "stop", machine]
                subprocess.run(stop, capture_output=True, check=False, timeout=10)


class Connection:
    """A program that runs on a machine, and the pipes to it."""

    def __init__(self, process: subprocess.Popen[bytes], links: Links) -> None:
        assert process.stdout
        self.stdout = io.BufferedReader(cast("io.RawIOBase", process.stdout))
        """From the program; ends when the line has dropped."""
        self._process = process
        self._links = links
        self._stderr = b""
        self._listener = threading.Thread(target=self._listen, name="ssh-stderr", daemon=True)
        self._listener.start()

    @property
    def stdin(self) -> IO[bytes]:
        """To the program; writing raises BrokenPipeError once the line has dropped."""
        assert self._process.stdin
        return self._process.stdin

    def hang_up(self) -> None:
        """Say goodbye from another thread: the program is told that nothing more comes, and ends."""
        with contextlib.suppress(OSError, ValueError):
            self.stdin.close()

    def end(self, *, at_once: bool = False) -> tuple[int, str]:
        """Close it. The exit code (255: SSH itself failed) and the last that came on standard error.

        `at_once`: all was said, so the program's own end, a round trip away, is not waited for.
        """
        with contextlib.suppress(OSError):
            self.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0 if at_once else 2)
        self._links.end(self._process)
        self._listener.join(timeout=2)
        self.stdout.close()
        return self._process.returncode, self._stderr.decode("utf-8", "replace")

    def _listen(self) -> None:
        assert self._process.stderr
        with self._process.stderr as stderr:
            for line in stderr:
                self._stderr = (self._stderr + line)[-_KEPT_STDERR:]


# ---------------------------------------------------------------------------------------------------- configuration


def render_config(access: Access, path: Path) -> str:
    """The `ssh_config` for one way in, to be written to `path`."""
    blocks = [_host_block(access, machine, socket) for machine, socket in sockets(access, path).items()]
    return "\n".join([*blocks, _common_block(access)])


def sockets(access: Access, config: Path) -> dict[str, Path]:
    """Where each machine's shared connection is found."""
    return {
        machine: config.with_name(f"{config.stem}-{number}") for number, machine in enumerate(sorted(access.hosts))
    }


def _host_block(access: Access, machine: str, socket: Path) -> str:
    lines = [f"HostName {access.hosts[machine]}", f"Port {access.ports.get(machine, 22)}", f"HostKeyAlias {machine}"]
    if machine in access.behind:
        lines += [f"ProxyJump {access.gateway}"]
    elif access.proxy_command:
        lines += [f"ProxyCommand {access.proxy_command}"]
    lines += ["ControlMaster auto", "ControlPersist 60", f'ControlPath "{socket}"']
    return _block(f"Host {machine}", lines)


def _common_block(access: Access) -> str:
    lines = [
        f"User {access.user}",
        f'UserKnownHostsFile "{access.known_hosts.absolute()}"',
        "GlobalKnownHostsFile none",
        "StrictHostKeyChecking yes",
        "UpdateHostKeys no",
        "CheckHostIP no",
        "BatchMode yes",
        "ConnectTimeout 15",
        # A line that stalls is noticed after 4 × (2 + 1) = 12 s.
        "ServerAliveInterval 4",
        "ServerAliveCountMax 2",
        "Compression yes",
        "ForwardAgent no",
        "ForwardX11 no",
        "PermitLocalCommand no",
        "RequestTTY no",
        "LogLevel ERROR",
    ]
    if access.identity:
        lines += [f'IdentityFile "{access.identity.absolute()}"', "IdentitiesOnly yes"]
    own = Path("~/.ssh/config").expanduser()
    if access.identity is None and own.is_file():
        lines += [f'Include "{own}"']
    return _block("Match all", lines)


def _block(head: str, lines: Sequence[str]) -> str:
    return "".join([f"{head}\n", *(f"  {line}\n" for line in lines)])


def runtime_folder() -> Path:
    """A folder of our own for configuration and sockets: nobody else may look into it, and its path is short."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    choices = [Path(runtime) / "lienxa"] if runtime and Path(runtime).is_dir() else []
    choices += [Path("~/.cache/lienxa/run").expanduser(), Path(tempfile.gettempdir()) / f"lienxa-{os.getuid()}"]
    folder = next(path for path in choices if len(os.fsencode(path)) <= _LONGEST_SOCKET_FOLDER)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not ours alone (owner {found.st_uid}, mode {found.st_mode & 0o777:o})")
    return folder


def _digest(access: Access) -> str:
    known = repr((access.user, access.known_hosts, sorted(access.hosts.items()), sorted(access.behind)))
    known += repr((access.gateway, access.identity, access.proxy_command, sorted(access.ports.items())))
    return hashlib.sha256(known.encode()).hexdigest()[:10]


def _write_private(path: Path, text: str) -> None:
    """In one step: a connection that starts meanwhile reads the old or the new file, never half of one."""
    new = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)


# ---------------------------------------------------------------------------------------------------- errors


@dataclass(frozen=True)
class _Reading:
    words: tuple[str, ...]
    trouble: Trouble
    message: str


_READINGS = (
    _Reading(
        ("REMOTE HOST IDENTIFICATION HAS CHANGED",),
        Trouble.HOST_KEY_CHANGED,
        "answers with another host key than the one on record. Was it installed anew or replaced? Then record the "
        "new key with `lienxa trust {commune} --replace {machine}`. If nobody touched it, stop: somebody may be in "
        "between",
    ),
    _Reading(
        ("Host key verification failed", "host key is known for"),
        Trouble.HOST_KEY_UNKNOWN,
        "its host key is not on record; compare and record it with `lienxa trust {commune}`",
    ),
    _Reading(
        ("a password is required", "a terminal is required", "is not in the sudoers file", "sudo: command not found"),
        Trouble.SUDO,
        "{user} may not become root there without a password; run `lienxa adopt {commune} {machine}`",
    ),
    _Reading(
        ("Permission denied (", "Too many authentication failures", "No supported authentication methods"),
        Trouble.DENIED,
        "does not let {user} in with any of your keys. Is your key among the commune's support keys, and loaded "
        "(`ssh-add -l`)? A machine fresh from the installer: `lienxa adopt {commune} {machine}`",
    ),
    _Reading(
        ("Could not resolve hostname", "Name or service not known", "Temporary failure in name resolution"),
        Trouble.UNREACHABLE,
        "the name {host} is not known here; correct `ssh:` in the inventory, or see to the laptop's own line",
    ),
    _Reading(
        ("Connection refused",),
        Trouble.UNREACHABLE,
        "{host} is on, but nothing answers at port {port}; is sshd running there?",
    ),
    _Reading(
        ("timed out", "No route to host", "Network is unreachable", "not responding"),
        Trouble.UNREACHABLE,
        "no answer from {host}; is it switched on, plugged in, and the line up?",
    ),
)


def classify(access: Access, machine: str, stderr: str) -> LinkError:
    """What SSH's last words mean, for the engineer."""
    reading = next((reading for reading in _READINGS if any(word in stderr for word in reading.words)), None)
    facts = {
        "machine": machine,
        "commune": access.commune or "COMMUNE",
        "user": access.user,
        "host": access.hosts.get(machine, machine),
        "port": access.ports.get(machine, 22),
    }
    if reading:
        return LinkError(machine, reading.trouble, f"{machine}: {reading.message.format(**facts)}")
    last = stderr.strip().splitlines()
    return LinkError(
        machine,
        Trouble.UNREACHABLE,
        f"{machine}: the connection dropped" + (f" ({last[-1].strip()})" if last else ""),
    )


def _says_why(stderr: str) -> bool:
    """Whether the words are about the machine itself and not about a jump that did not work."""
    return any(word in stderr for reading in _READINGS for word in reading.words) and "UNKNOWN port" not in stderr
