"""Images upon an image of the lab's, for tests: some packages more in a layer of its own, made in a minute."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence

from deploy.errors import LabError
from deploy.fleet.package_cache import ensure_cache
from deploy.lab.containers import CAPABILITIES, remove, runtime
from deploy.lab.image import REPOSITORY, UNUSED_SECONDS, Listener
from deploy.lab.laptop import LABEL, locked, run

# Nothing starts while it is being installed: no systemd runs here, and Debian's scripts see that. What asks is told
# nothing; dpkg writes as it did when the image below was made.
_INSTALL = """
set -eu
export DEBIAN_FRONTEND=noninteractive http_proxy=$1
shift
apt-get -q update
apt-get -q -y install --no-install-recommends "$@"
apt-get clean
rm -rf /var/lib/apt/lists/*
"""


def image_upon(
    base: str, name: str, packages: Sequence[str], listener: Listener = lambda machine, message: None
) -> str:
    """Name of the image `base` with these packages besides, made now if there is none. Raises LabError."""
    key = hashlib.sha256("\0".join((base, *packages)).encode()).hexdigest()[:12]
    image = f"{REPOSITORY}/{name}:{base.rpartition(':')[2]}-{key}"
    with locked(f"image-{name}"):
        if run(["podman", "image", "exists", image], root=True, check=False).returncode != 0:
            listener("", f"making the image {name} upon {base}, about a minute")
            _make(base, image, packages)
        _forget_old(f"{REPOSITORY}/{name}", image)
    return image


def _make(base: str, image: str, packages: Sequence[str]) -> None:
    # Several are made at a time, by threads too. What a crash has left of this one is replaced.
    container = f"lienxa-layer-{image.rpartition('-')[2]}"
    rights = [word for right in CAPABILITIES for word in ("--cap-add", right)]
    proxy = f"http://127.0.0.1:{ensure_cache()}"
    start = ["podman", *runtime().arguments, "run", "--replace", "--name", container, "--label", f"{LABEL}=image"]
    how = [*rights, *runtime().create, "--network", "host"]
    try:
        run([*start, *how, base, "sh", "-c", _INSTALL, "sh", proxy, *packages], root=True)
        run(["podman", "commit", "--quiet", "--change", f"LABEL {LABEL}=image", container, image], root=True)
    except LabError as error:
        raise LabError(f"the image {image} could not be made: {str(error)[-2000:]}") from error
    finally:
        remove(container)


def _forget_old(repository: str, image: str) -> None:
    """Others of the name go after some days, unless a machine stands on one."""
    listed = json.loads(run(["podman", "images", "--format", "json", repository], root=True).stdout or "[]")
    oldest = time.time() - UNUSED_SECONDS
    for other in listed:
        if other["Created"] < oldest:
            for tag in set(other.get("Names") or ()) - {image}:
                run(["podman", "rmi", tag], root=True, check=False)
