"""What the render tests share: rendered files, and the daemons' own checkers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from render_sites import SITES

from deploy.inventory.site import Site

PACKAGES = Path(__file__).with_name("packages.txt")


@pytest.fixture(params=SITES.values(), ids=list(SITES))
def any_site(request: pytest.FixtureRequest) -> Site:
    return request.param


@pytest.fixture
def accepted(tmp_path: Path) -> Callable[[str, str, str], None]:
    """Gives a text to a checker as `place` does: under its final name, `{}` being its path; fails with its words."""

    def check(text: str, name: str, command: str, before: str = "true") -> None:
        program = command.split(maxsplit=1)[0]
        path = os.environ["PATH"] + ":/usr/sbin:/sbin"
        if (
            "/" not in program
            and shutil.which(program, path=path) is None
            and program not in {"printf", "APT_CONFIG="}
        ):
            pytest.fail(f"{program} is not installed; `make render-packages` installs {PACKAGES}")
        file = tmp_path / name
        file.write_text(text)
        os.umask(0o022)
        # In a network namespace of its own, so that interfaces can be made and nothing here is touched.
        script = f"{before}; {command.replace('{}', str(file))}"
        done = subprocess.run(
            ["unshare", "--net", "--map-root-user", "sh", "-ec", script] if os.geteuid() else
            ["unshare", "--net", "sh", "-ec", script],
            capture_output=True, text=True, check=False, timeout=30, env={**os.environ, "PATH": path},
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{text}"

    return check
