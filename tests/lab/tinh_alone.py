"""`tinh` in one container without a network, for what is asked of nothing but itself."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.inventory.site import Site
from deploy.lab import image
from deploy.lab.boot import as_tar, common_files
from deploy.lab.containers import CAPABILITIES, runtime
from deploy.lab.rehearsal import TINH, rehearse
from deploy.lab.tinh import tinh_files


def site_of(model: Site, slug: str) -> Site:
    """That commune rehearsed under another slug, without the tunnel: its device is not given to this container."""
    commune = model.commune.model_copy(update={"slug": slug})
    upstream = model.upstream.model_copy(update={"support_path": None})
    return rehearse(model.model_copy(update={"commune": commune, "upstream": upstream}))


@contextmanager
def tinh_alone(site: Site, name: str) -> Iterator[None]:
    """Its container of that name, booted, with no address yet; gone afterwards."""
    podman = ["podman", *runtime().arguments]
    rights = ["--network", "none", "--systemd", "always", "--cap-drop", "all", *runtime().create]
    rights += [word for one in CAPABILITIES for word in ("--cap-add", one)]
    create = [*podman, "create", "--name", name, *rights, image.tinh_image(), "/usr/lib/lienxa-lab/start"]
    subprocess.run(create, check=True, capture_output=True)
    try:
        boot = as_tar((*tinh_files(site), *common_files(site, TINH)))
        subprocess.run(["podman", "cp", "-", f"{name}:/"], check=True, input=boot)
        subprocess.run([*podman, "start", name], check=True, capture_output=True)
        up = "until systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; do sleep 0.2; done"
        subprocess.run([*podman, "exec", name, "sh", "-ec", up], check=True, capture_output=True)
        yield
    finally:
        subprocess.run(["podman", "rm", "-f", "-t", "0", name], check=False, capture_output=True)
