"""What the render tests share: rendered files, and the daemons' own checkers.

The checkers are those of the machines, of both Debian releases, in a container of each: the laptop needs none of
them, and none of their services ever runs on it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from render_sites import SITES
from rendering import FOLDER

from deploy.inventory.site import Site
from deploy.lab.containers import CAPABILITIES, execute, remove, runtime
from deploy.lab.image import machine_image
from deploy.lab.laptop import LABEL, run
from deploy.lab.layer import image_upon
from roles.mail.tasks import SEARCH

PACKAGES = Path(__file__).with_name("packages.txt")
# Gives standard input to a checker in a network namespace of its own, so that interfaces of the same name can be
# made for every test; under its final name, as `place` does.
_CHECK = """
set -e
umask 022
mkdir -p "$(dirname "$1")"
cat >"$1"
cd "$(dirname "$1")"
exec unshare --net sh -ec "$2"
"""


@pytest.fixture(params=SITES.values(), ids=list(SITES))
def any_site(request: pytest.FixtureRequest) -> Site:
    return request.param


@pytest.fixture(scope="session", params=["12", "13"], ids=["debian12", "debian13"])
def checkers(request: pytest.FixtureRequest) -> Iterator[str]:
    """A container that has every checker; its name."""
    wanted = (*PACKAGES.read_text().split(), SEARCH[request.param].package)
    image = image_upon(machine_image(request.param), f"checkers-{request.param}", wanted)
    name = f"lienxa-checkers-{request.param}-{os.getpid()}"
    rights = [word for right in CAPABILITIES for word in ("--cap-add", right)]
    podman = ["podman", *runtime().arguments, "run", "--detach", "--rm", "--name", name, "--label", f"{LABEL}=test"]
    run([*podman, "--network", "none", *rights, *runtime().create, image, "sleep", "infinity"], root=True)
    try:
        execute(name, ["sh", "-c", "mkdir -p /run/sshd && ssh-keygen -A"])
        yield name
    finally:
        remove(name)


@pytest.fixture
def accepted(said: Callable[..., str]) -> Callable[..., None]:
    """Like `said`, for who only wants to know that nothing was refused."""

    def check(text: str, name: str, command: str, before: str = "true") -> None:
        said(text, name, command, before)

    return check


@pytest.fixture
def said(checkers: str) -> Callable[..., str]:
    """Gives a text to a checker as `place` does: under its final name, `{}` being its path; fails with its words,
    gives what it printed else.

    Files of checks before it in the same test are still there, in `FOLDER`.
    """
    folder = f"/tmp/lienxa-checks/{secrets.token_hex(4)}"

    def check(text: str, name: str, command: str, before: str = "true", *, seconds: int = 60) -> str:
        file = f"{folder}/{name}"
        script = f"{before}; {command.replace('{}', file)}".replace(FOLDER, folder)
        given = text.replace(FOLDER, folder)
        podman = ["podman", *runtime().arguments, "exec", "--interactive", checkers]
        done = run(
            [*podman, "sh", "-c", _CHECK, "check", file, script],
            root=True,
            check=False,
            stdin=given.encode(),
            timeout=seconds,
        )
        words = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == 0, f"{words}\n{text}"
        return done.stdout.decode()

    return check
