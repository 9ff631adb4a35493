"""Makes a fresh machine ours, run there as root from standard input: account, keys, sudo; then passwords off.

Standard library only, one file, like the receiver; nothing of it stays on the machine. Reads one JSON object and
answers with one.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SUDOERS = Path("/etc/sudoers.d/lienxa-support")
SSHD = Path("/etc/ssh/sshd_config.d/01-lienxa-adopt.conf")
KEYS_ONLY = """# lienxa: nobody logs in with a password (the role base keeps it so)
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
"""


class ProblemError(Exception):
    """Something here does not work; the text is for the engineer."""


def settle(message: dict[str, Any]) -> None:
    """The support account, its keys, and sudo without a password."""
    user = message["user"]
    _install_sudo(message.get("proxy"))
    _account(user)
    _keys(pwd.getpwnam(user), message["keys"])
    _place(SUDOERS, f"{user} ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440, ["visudo", "-cf"])


def lock(_message: dict[str, Any]) -> None:
    """No more passwords over SSH; sshd itself says whether it is so."""
    _place(SSHD, KEYS_ONLY, 0o644, [])
    try:
        _run(["sshd", "-t"])
        _see_that_sshd_heeds("passwordauthentication no", "kbdinteractiveauthentication no")
    except ProblemError:
        SSHD.unlink()
        raise
    _run(["systemctl", "reload", "ssh"])


def _see_that_sshd_heeds(*settings: str) -> None:
    effective = _run(["sshd", "-T"]).lower()
    for setting in settings:
        if setting not in effective:
            raise ProblemError(f"sshd does not heed {SSHD} ({setting} is overruled); see /etc/ssh/sshd_config")


def _install_sudo(proxy: str | None) -> None:
    if shutil.which("sudo") and shutil.which("visudo"):
        return
    options = ["-o", f"Acquire::http::Proxy={proxy}"] if proxy else []
    for step in (["update"], ["install", "--yes", "--no-install-recommends", "sudo"]):
        _run(["apt-get", "--quiet", *options, *step])


def _account(user: str) -> None:
    try:
        pwd.getpwnam(user)
    except KeyError:
        _run(["useradd", "--create-home", "--shell", "/bin/bash", "--comment", "lienxa support", user])
        _run(["usermod", "--password", "*", user])  # no password fits; keys work, which `!` would forbid without PAM


def _keys(account: pwd.struct_passwd, keys: Sequence[str]) -> None:
    """Add to what is there: whoever comes in by another key today is not locked out by us."""
    folder = Path(account.pw_dir) / ".ssh"
    if folder.is_symlink():
        raise ProblemError(f"{folder} is a symbolic link; remove it")
    folder.mkdir(mode=0o700, exist_ok=True)
    os.chown(folder, account.pw_uid, account.pw_gid)
    file = folder / "authorized_keys"
    present = file.read_text(encoding="utf-8").splitlines() if file.is_file() and not file.is_symlink() else []
    lines = [*present, *(key for key in keys if key not in present)]
    _place(file, "".join(f"{line}\n" for line in lines), 0o600, [], (account.pw_uid, account.pw_gid))


def _place(path: Path, text: str, mode: int, check: Sequence[str], owner: tuple[int, int] = (0, 0)) -> None:
    """In one step, and only if `check` finds the new file good."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".lienxa-")  # a dot: sudo and sshd do not read it
    new = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        new.chmod(mode)
        os.chown(new, *owner)
        if check:
            _run([*check, name])
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
        raise ProblemError(f"`{' '.join(command)}`: {' / '.join(last)}")
    return done.stdout


def main() -> None:
    """Do what the one line on standard input asks for."""
    message = json.loads(sys.stdin.readline())
    try:
        {"settle": settle, "lock": lock}[message["do"]](message)
    except (ProblemError, OSError) as problem:
        answer = {"error": str(problem)}
    else:
        answer = {"done": message["do"]}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    os.umask(0o022)
    os.environ |= {
        "DEBIAN_FRONTEND": "noninteractive",
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }  # `su` keeps the user's
    main()
