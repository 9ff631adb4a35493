"""How long a whole province takes: `new` for its 135 communes, then `check` over all of them.

Run it with `.venv/bin/python tests/bench/inventory.py`; it prints seconds and works in a temporary folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from deploy.inventory.identity import create_identity
from deploy.inventory.loading import load
from deploy.inventory.new import new_commune
from deploy.inventory.official_names import communes_of, find_province
from deploy.inventory.record import write_plan
from deploy.inventory.resolve import resolve
from deploy.inventory.secrets import generate_missing, wanted_secrets
from deploy.site import CATALOG

PROVINCE = "Gia Lai"


def main() -> None:
    """Print what each step took."""
    with tempfile.TemporaryDirectory() as name:
        folder, identity = Path(name) / "inventories", Path(name) / "identity.txt"
        folder.mkdir()
        keys = create_identity(identity)
        begun = time.perf_counter()
        make_all(folder, keys.recipients)
        made = time.perf_counter()
        environment = os.environ | {"LIENXA_INVENTORIES": str(folder), "LIENXA_IDENTITY": str(identity)}
        program = Path(sys.executable).with_name("lienxa")
        said = subprocess.run([program, "check"], env=environment, capture_output=True, text=True, check=False)
        checked = time.perf_counter()
    print(f"new, 135 communes of {PROVINCE}: {made - begun:.2f} s")  # noqa: T201
    print(f"check, as a command of its own: {checked - made:.2f} s, exit {said.returncode}")  # noqa: T201
    print((said.stdout + said.stderr).splitlines()[-1])  # noqa: T201


def make_all(folder: Path, recipients: tuple[str, ...]) -> None:
    """Every commune with its addresses and secrets, as the verb `new` makes one."""
    made = [
        new_commune(folder, commune.name, PROVINCE, None, recipients)
        for commune in communes_of(find_province(PROVINCE))
    ]
    inventory = load(folder, CATALOG)
    write_plan(inventory)
    for one in made:
        each = resolve(inventory, one.folder.name)
        generate_missing(one.folder / "secrets.yaml", wanted_secrets(each.site, each.options, CATALOG), recipients)


if __name__ == "__main__":
    main()
