"""First contact: a machine as Debian's installer leaves it becomes one that lienxa can work with.

Logs in as the installer's user, by password or key; sets up the support account with the engineers' keys and sudo;
proves that this way in works; and only then refuses passwords over SSH. Passwords never stand in a command line, an
environment or a file on the machine; on the laptop they pass through a file on tmpfs that only we may read.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from deploy.fleet.access import Access
from deploy.fleet.conversation import BOOTSTRAP
from deploy.fleet.links import ON_MACHINE_PROXY_PORT, LinkError, Links, Trouble, runtime_folder
from deploy.inventory.site import Support

_ASKPASS = """#!/bin/sh
case "$1" in *assword*) exec cat "$(dirname "$0")/password" ;; esac
exit 1
"""
_READY = b"lienxa:ready\n"
_ANNOUNCED = f'import os\nos.write(1, b"lienxa:ready\\n")\n{BOOTSTRAP}'
"""Says that it is root before it reads: whoever asked for a password has done so by then."""


class AdoptError(Exception):
    """A machine cannot be adopted; says which, why and what to do next. Passwords still work there."""


@dataclass(frozen=True)
class FirstContact:
    """How to get in the first time."""

    user: str
    """The account that the installer made; it may also be root."""
    password: str | None = dataclasses.field(default=None, repr=False)
    """Its password; None: one of the engineer's keys is already there, and sudo needs no password."""
    root_password: str | None = dataclasses.field(default=None, repr=False)
    """Where the account has no sudo: root's, for `su`."""


def adopt(
    access: Access, machine: str, first: FirstContact, support: Support, *, package_port: int | None = None
) -> None:
    """Make `machine` ours. Its host key must be on record. Doing it again is harmless. Raises AdoptError.

    package_port: the laptop's package cache, needed where sudo has yet to be installed.
    """
    if not support.keys:
        raise AdoptError(f"{machine}: nobody could log in afterwards; add your public key to `support: keys:` first")
    proxy = f"http://127.0.0.1:{ON_MACHINE_PROXY_PORT}" if package_port else None
    access = dataclasses.replace(access, user=support.user)  # at the gateway on the way, too
    settle = {"do": "settle", "user": support.user, "keys": list(support.keys), "proxy": proxy}
    _Visit(access, machine, first, package_port).ask(settle)
    with Links(access) as links:
        try:
            root = links.run(machine, ["sudo", "-n", "true"], timeout=60)
        except LinkError as error:
            raise AdoptError(
                f"the account {support.user} is there, but a log-in with your key fails: {error}"
            ) from error
    if root.returncode:
        raise AdoptError(f"{machine}: {support.user} does not become root by sudo: {root.stderr.decode().strip()}")
    _Visit(access, machine, FirstContact(support.user)).ask({"do": "lock"})


class _Visit:
    """One way to become root on a machine that is not ours yet."""

    def __init__(self, access: Access, machine: str, first: FirstContact, package_port: int | None = None) -> None:
        self._access = access
        self._machine = machine
        self._first = first
        self._package_port = package_port

    def ask(self, message: dict[str, Any]) -> None:
        """Have `deploy.runner.adoption` do it there. Raises AdoptError."""
        program = (files("deploy.runner") / "adoption.py").read_bytes()
        text = f"{len(program):08d}".encode() + program + json.dumps(message).encode() + b"\n"
        with _password_file(self._first.password) as (how, env), Links(self._access) as links:
            options = ["-l", self._first.user, "-o", "ControlMaster=no", "-o", "ControlPath=none", *how]
            remote, password = self._become_root(links, options, env)
            options += self._forward()
            answer = self._talk(links.command(self._machine, remote, *options), env, password, text)
        if "error" in answer:
            raise AdoptError(f"{self._machine}: {answer['error']}")

    def _become_root(self, links: Links, options: list[str], env: dict[str, str]) -> tuple[str, str | None]:
        """The remote command that runs our program as root, and the password that it asks for on standard input."""
        python = f"python3 -I -c {shlex.quote(_ANNOUNCED)}"
        if self._first.user == "root":
            return python, None
        if self._first.root_password is not None:
            return f"env LC_ALL=C su --command {shlex.quote(python)} root", self._first.root_password
        probe = subprocess.run(
            links.command(self._machine, "env LC_ALL=C sudo -n true", *options),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=env,
        )
        if probe.returncode == 255:
            raise self._no_way_in(links.explain(self._machine, probe.stderr))
        if probe.returncode == 0:
            return f"env LC_ALL=C sudo -n -- {python}", None
        if self._first.password is None or "not found" in probe.stderr:
            raise AdoptError(
                f"{self._machine}: {self._first.user} may not become root by sudo ({probe.stderr.strip()}); "
                "give root's password (`--root-password`), or log in as root"
            )
        return f"env LC_ALL=C sudo -k -S -p '' -- {python}", self._first.password

    def _talk(self, command: list[str], env: dict[str, str], password: str | None, text: bytes) -> dict[str, Any]:
        """Password first, our program once it is root, then its answer."""
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=env, start_new_session=True) as ssh:
            assert ssh.stdin
            assert ssh.stdout
            if password is not None:
                ssh.stdin.write(password.encode() + b"\n")
                ssh.stdin.flush()
            if not _is_ready(ssh):
                _, stderr = ssh.communicate()
                raise self._not_root(ssh.returncode, stderr.decode("utf-8", "replace"))
            answer, stderr = ssh.communicate(text)
        try:
            done: dict[str, Any] = json.loads(answer)
        except ValueError:
            raise self._not_root(ssh.returncode, stderr.decode("utf-8", "replace")) from None
        return done

    def _forward(self) -> list[str]:
        if self._package_port is None:
            return []
        return ["-R", f"127.0.0.1:{ON_MACHINE_PROXY_PORT}:127.0.0.1:{self._package_port}"]

    def _not_root(self, code: int, stderr: str) -> AdoptError:
        if code == 255:
            with Links(self._access) as links:
                return self._no_way_in(links.explain(self._machine, stderr))
        if (
            "incorrect password" in stderr
            or "no password was provided" in stderr
            or "Authentication failure" in stderr
        ):
            return AdoptError(f"{self._machine}: the password for becoming root is wrong")
        if "not in the sudoers file" in stderr:
            return AdoptError(
                f"{self._machine}: {self._first.user} may not use sudo there; give root's password "
                "(`--root-password`)"
            )
        return AdoptError(f"{self._machine}: no answer as root: {stderr.strip() or f'exit code {code}'}")

    def _no_way_in(self, error: LinkError) -> AdoptError:
        if error.trouble is Trouble.DENIED:
            how = "with that password" if self._first.password is not None else "with any of your keys"
            return AdoptError(
                f"{self._machine} does not let {self._first.user} in {how}; was it adopted already? Then passwords "
                f"are refused there: try `lienxa plan --machine {self._machine}`"
            )
        return AdoptError(str(error))


def _is_ready(ssh: subprocess.Popen[bytes]) -> bool:
    """Whether our program has started as root. A wrong password ends in end of file, not in a question."""
    assert ssh.stdout
    return any(line.endswith(_READY) for line in ssh.stdout)


@contextmanager
def _password_file(password: str | None) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Options and environment with which ssh takes the password from us, and from nobody else."""
    if password is None:
        yield [], dict(os.environ)
        return
    options = ["-o", "BatchMode=no", "-o", "NumberOfPasswordPrompts=1"]
    options += ["-o", "PreferredAuthentications=password,keyboard-interactive"]
    with tempfile.TemporaryDirectory(prefix="adopt-", dir=_memory()) as folder:
        secret, helper = Path(folder) / "password", Path(folder) / "askpass"
        for file, text in ((secret, password + "\n"), (helper, _ASKPASS)):
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700), "w", encoding="utf-8") as out:
                out.write(text)
        yield options, {**os.environ, "SSH_ASKPASS": os.fspath(helper), "SSH_ASKPASS_REQUIRE": "force"}


def _memory() -> Path:
    """A folder that is never written to a disk, where the laptop has one."""
    shared = Path("/dev/shm")  # noqa: S108 (a folder of our own is made inside)
    return shared if os.access(shared, os.W_OK) else runtime_folder()
