"""The tools that are measured, each told of the same machines in its own words and set up to be fast."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.fleet.kit import CONTENT
from tests.bench.machines import REPOSITORY, Machines

HERE = Path(__file__).parent
CACHE = Path("~/.cache/lienxa/bench").expanduser()
_VENV = CACHE / "tools"

_SITE = """\
from types import ModuleType

import roles.bench
from deploy.inventory.role import Catalog, Kind

ROLES = {"bench": roles.bench.ROLE}
CATALOG = Catalog(ROLES, {Kind.OFFICE: ("bench",)})
"""

_ANSIBLE = """\
[defaults]
inventory = hosts.ini
forks = 20
host_key_checking = true
{strategy}
[ssh_connection]
pipelining = true
ssh_args = -C -o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile={known_hosts}
control_path_dir = {sockets}
"""


@dataclass(frozen=True)
class Tool:
    """How a tool is started."""

    name: str
    command: tuple[str, ...]
    folder: Path
    templates: Path
    """Where it takes its templates from."""
    own: Path
    """A folder that nobody else has anything to do with."""
    environment: Mapping[str, str] = field(default_factory=dict)


def tools(made: Machines, ports: Mapping[str, int], folder: Path, wanted: Iterable[str]) -> dict[str, Tool]:
    """Those that are wanted, by name, in folders of their own below `folder`."""
    makers = {"lienxa": _lienxa, "pyinfra": _pyinfra, "Ansible": _ansible, "Ansible + Mitogen": _mitogen}
    return {name: makers[name](made, ports, folder / name.split()[-1].lower()) for name in wanted}


def verifier(tool: Tool) -> tuple[str, ...]:
    """lienxa's command for verify."""
    return (*tool.command[:-1], "verify")


def testinfra(made: Machines, ports: Mapping[str, int], folder: Path, *, shared: bool) -> tuple[str, ...]:
    """The command that runs the same checks over testinfra's ssh backend; `shared`: over one connection a machine."""
    folder.mkdir(parents=True)
    shutil.copy(HERE / "role" / "checks.py", folder / "test_checks.py")
    (folder / "ssh_config").write_text(_ssh_config(made, ports, folder if shared else None))
    hosts = ",".join(f"ssh://{name}" for name in ports)
    options = (f"--hosts={hosts}", f"--ssh-config={folder / 'ssh_config'}", "--sudo", "-q", "-p", "no:cacheprovider")
    program = str(Path(sys.executable).with_name("pytest"))
    return (program, "--rootdir", str(folder), "-c", "/dev/null", *options, str(folder / "test_checks.py"))


def versions() -> dict[str, str]:
    """What is measured against what."""
    pythons = (sys.executable, *([_bin("python")] if _VENV.exists() else []))
    listed = (json.loads(_output(python, "-m", "pip", "list", "--format=json")) for python in pythons)
    found = {entry["name"]: entry["version"] for entries in listed for entry in entries}
    names = ("lienxa", "pyinfra", "ansible-core", "mitogen", "pytest-testinfra")
    return {name: found[name] for name in names if name in found}


def ensure_tools() -> None:
    """Ansible and Mitogen in an environment of their own, once."""
    lock = HERE / "requirements.lock"
    wanted = lock.read_text()
    stamp = _VENV / "made-from"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(_VENV, ignore_errors=True)
    venv.create(_VENV, with_pip=True)
    subprocess.run([_bin("python"), "-m", "pip", "install", "-q", "--require-hashes", "-r", lock], check=True)
    stamp.write_text(wanted)


def _lienxa(made: Machines, ports: Mapping[str, int], folder: Path) -> Tool:
    kit = folder / "kit"
    for part in CONTENT:
        source = REPOSITORY / part
        (shutil.copytree if source.is_dir() else _copy)(source, kit / part)
    (kit / "deploy" / "site.py").write_text(_SITE)
    shutil.copytree(HERE / "role", kit / "roles" / "bench", ignore=shutil.ignore_patterns("templates"))
    shutil.copy(HERE / "wanted.py", kit / "roles" / "bench")
    shutil.copytree(HERE / "role" / "templates", kit / "templates" / "bench")
    facts = {
        "ports": ports,
        "identity": str(made.identity),
        "known_hosts": str(made.known_hosts),
        "inventories": str(REPOSITORY / "inventories"),
    }
    (folder / "access.json").write_text(json.dumps(facts))
    command = (sys.executable, "-m", "tests.bench.lienxa_run", str(folder), "apply")
    return Tool("lienxa", command, REPOSITORY, kit / "templates" / "bench", folder)


def _pyinfra(made: Machines, ports: Mapping[str, int], folder: Path) -> Tool:
    shutil.copytree(HERE / "pyinfra", folder)
    shutil.copytree(HERE / "role" / "templates", folder / "templates")
    shutil.copy(HERE / "wanted.py", folder)
    common = {
        "ssh_hostname": "127.0.0.1",
        "ssh_user": made.site.support.user,
        "ssh_key": str(made.identity),
        "ssh_known_hosts_file": _by_port(made, ports, folder),
    }
    hosts = [(name, {**common, "ssh_port": port}) for name, port in ports.items()]
    (folder / "inventory.py").write_text(f"hosts = {hosts!r}\n")
    command = (str(Path(sys.executable).with_name("pyinfra")), "-y", "inventory.py", "bench.py")
    return Tool("pyinfra", command, folder, folder / "templates", folder)


def _ansible(
    made: Machines, ports: Mapping[str, int], folder: Path, name: str = "Ansible", strategy: str = ""
) -> Tool:
    shutil.copytree(HERE / "ansible", folder)
    shutil.copytree(HERE / "role" / "templates", folder / "templates")
    known = _by_port(made, ports, folder)
    (folder / "ansible.cfg").write_text(_ANSIBLE.format(known_hosts=known, sockets=folder / "cp", strategy=strategy))
    common = (
        f"ansible_host=127.0.0.1 ansible_user={made.site.support.user} ansible_python_interpreter=/usr/bin/python3 "
        f"ansible_ssh_private_key_file={made.identity}"
    )
    lines = (f"{machine} ansible_port={port} {common}\n" for machine, port in ports.items())
    (folder / "hosts.ini").write_text("".join(lines))
    environment = {"ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "LC_ALL": "C.UTF-8"}
    return Tool(name, (_bin("ansible-playbook"), "playbook.yml"), folder, folder / "templates", folder, environment)


def _mitogen(made: Machines, ports: Mapping[str, int], folder: Path) -> Tool:
    plugins = _output(_bin("python"), "-c", "import ansible_mitogen; print(ansible_mitogen.__path__[0])")
    strategy = f"strategy_plugins = {plugins}/plugins/strategy\nstrategy = mitogen_linear\n"
    return _ansible(made, ports, folder, "Ansible + Mitogen", strategy)


def _by_port(made: Machines, ports: Mapping[str, int], folder: Path) -> str:
    """The known host keys under the names that OpenSSH and paramiko give to a port."""
    keys = dict(line.split(" ", 1) for line in made.known_hosts.read_text().splitlines())
    file = folder / "known_hosts"
    file.write_text("".join(f"[127.0.0.1]:{port} {keys[name]}\n" for name, port in ports.items()))
    return str(file)


def _ssh_config(made: Machines, ports: Mapping[str, int], sockets: Path | None) -> str:
    lines: list[str] = []
    for name, port in ports.items():
        lines += [f"Host {name}", "  HostName 127.0.0.1", f"  Port {port}", f"  HostKeyAlias {name}"]
    lines += ["Host *", f"  User {made.site.support.user}", f"  IdentityFile {made.identity}"]
    lines += [f"  UserKnownHostsFile {made.known_hosts}", "  Compression yes"]
    if sockets:
        lines += ["  ControlMaster auto", "  ControlPersist 60", f"  ControlPath {sockets}/%n"]
    return "\n".join(lines) + "\n"


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _bin(name: str) -> str:
    return os.fspath(_VENV / "bin" / name)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
