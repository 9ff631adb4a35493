"""A province's folder of inventories of its own, with the model commune in it under another name; and the command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import lab
from deploy.fleet.links import ON_MACHINE_PROXY_PORT, Links
from deploy.fleet.package_cache import ensure_cache
from deploy.lab.containers import runtime
from deploy.lab.wiring import namespace
from deploy.target import open_target

LIENXA = str(Path(sys.executable).with_name("lienxa"))
MODEL = Path(__file__).parents[2] / "inventories"


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def summary(self) -> dict[str, Any]:
        return self.lines[-1]

    @property
    def changed(self) -> dict[str, int]:
        """How much the run changed on each machine."""
        return {line["machine"]: line["changed"] for line in self.of("run_ended")}

    def of(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The events of that sort with these values."""
        return [
            line
            for line in self.lines
            if line["event"] == event and all(line.get(key) == value for key, value in fields.items())
        ]


@dataclass(frozen=True)
class Province:
    """A folder of inventories of its own, in git, as a province keeps it; `slug` is its only commune."""

    folder: Path
    slug: str

    @property
    def file(self) -> Path:
        return self.folder / self.slug / "commune.yaml"

    def say(self, *words: str, code: int | None = 0, program: str = LIENXA, given: str | None = None) -> Said:
        """Run the command on this folder; fail with all it said unless it ends as expected. code=None: either way."""
        environment = os.environ | {"LIENXA_INVENTORIES": str(self.folder), "NO_COLOR": "1"}
        done = subprocess.run(
            [program, *words],
            capture_output=True,
            text=True,
            env=environment,
            cwd=self.folder,
            check=False,
            input=given,
        )
        assert code in (None, done.returncode), (
            f"{words}: exit {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-4000:]}"
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def lienxa(self, verb: str, *words: str, code: int = 0) -> Said:
        return self.say(verb, self.slug, "--lab", "--json", *words, code=code)

    def on(self, machine: str, *argv: str, given: str | None = None, timeout: float = 300) -> str:
        """What a program says that root runs on a machine of the lab."""
        if given is None:
            return lab.run_in(self.slug, machine, argv, check=True, timeout=timeout).stdout
        command = ["podman", *runtime().arguments, "exec", "-i", namespace(self.slug, machine), *argv]
        done = subprocess.run(command, capture_output=True, text=True, check=False, input=given, timeout=timeout)
        assert done.returncode == 0, f"{machine}: {argv[:2]}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def install(self, machine: str, *packages: str) -> None:
        """Debian packages that a test needs there, fetched through the laptop's cache."""
        target = open_target(self.folder, self.slug, lab=True)
        there = f"127.0.0.1:{ON_MACHINE_PROXY_PORT}"
        apt = f"apt-get -o Acquire::http::Proxy=http://{there} -o Acquire::http::Proxy-Auto-Detect= -qq"
        # A desk that comes with its packages has no lists yet.
        script = f"{apt} update && DEBIAN_FRONTEND=noninteractive {apt} install -y {' '.join(packages)}"
        with Links(target.access) as links:
            forward = ("-o", "ControlPath=none", "-R", f"{there}:127.0.0.1:{ensure_cache()}")
            command = links.command(machine, f"sudo -n sh -c '{script}'", *forward)
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    def edit(self, old: str, new: str) -> None:
        text = self.file.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {self.file}"
        self.file.write_text(text.replace(old, new))

    def git(self, *words: str) -> None:
        subprocess.run(
            ["git", "-C", self.folder, "-c", "user.name=t", "-c", "user.email=t@localhost", *words],
            check=True,
            capture_output=True,
        )


def province_of(folder: Path, slug: str, name: str) -> Province:
    """The model commune under this slug and name, in a git repository of its own."""
    shutil.copytree(MODEL, folder)
    (folder / "xa-mau").rename(folder / slug)
    province = Province(folder, slug)
    province.edit("slug: xa-mau", f"slug: {slug}")
    province.edit("name: Xã Mẫu", f"name: {name}")
    province.git("init", "-q", "-b", "main")
    province.git("add", ".")
    province.git("commit", "-q", "-m", name)
    return province
