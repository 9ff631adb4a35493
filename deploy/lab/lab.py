"""A commune's lab: up, down, what is in it, and the way in."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from deploy.errors import LabError
from deploy.fleet.access import Access
from deploy.inventory.role import DESKS, Kind
from deploy.inventory.site import Site, SiteMachine
from deploy.lab import containers
from deploy.lab.boot import as_tar, common_files, machine_files
from deploy.lab.containers import Container
from deploy.lab.image import Listener, desk_image, machine_image, tinh_image
from deploy.lab.keys import facts, ssh_key
from deploy.lab.laptop import as_root, cache_dir, locked, run, state_dir, write_private
from deploy.lab.limits import give_back, make_room
from deploy.lab.rehearsal import LAPTOP, TINH, gateway_address, links, rehearse, tinh_address
from deploy.lab.tinh import tinh_files
from deploy.lab.wiring import namespace, namespaces, path, unwire, wire

_BOOT_SECONDS = 120.0
_AT_ONCE = 3
"""Containers that are made at a time: making one keeps a processor busy."""


@dataclass(frozen=True)
class MachineStatus:
    """A machine of a lab as it is now."""

    machine: str
    state: str
    """podman's word: `running`, `exited`, `created`…"""
    image: str


def up(
    site: Site,
    *,
    debian: str | None = None,
    at_desks: Sequence[str] = (),
    listener: Listener = lambda machine, message: None,
) -> Site:
    """Bring the commune's lab up, or repair what is missing of it; what already runs is left as it is.

    `debian`: release of machines whose inventory does not say one ("12" or "13"; None: 13). `at_desks`: packages that
    the machines people sit at come with. Returns the site as it is in the lab. Raises LabError, after which `up` may
    be tried again and `down` works.
    """
    slug = site.commune.slug
    _refuse(site)
    with locked(f"lab-{slug}") as lock:
        rehearsed = rehearse(site, facts(site))
        wanted = _containers(rehearsed, debian, tuple(at_desks), listener)
        make_room()
        listener("", f"containers: {containers.runtime().why}")
        _write_known_hosts(slug, [container.machine for container in wanted])
        there = containers.found(slug)
        for machine in there.keys() - {container.machine for container in wanted}:
            containers.remove(namespace(slug, machine))
        _remove_changed(wanted, there)
        unwire(slug, keep=[container.machine for container in wanted if _stays(container, there)])
        wire(rehearsed)
        _each(wanted, lambda container: _bring_up(container, there, (lock,), listener))
        _wait_for_gateway(slug, rehearsed)
    return rehearsed


def down(slug: str) -> bool:
    """Remove everything of the commune's lab, also what a crash left half-made; False if there was nothing."""
    with locked(f"lab-{slug}"):
        there = containers.found(slug)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda machine: containers.remove(namespace(slug, machine)), there))
        wired = namespaces(slug)
        unwire(slug)
        folder = cache_dir() / "lab" / slug
        known = folder.exists()
        shutil.rmtree(folder, ignore_errors=True)
        give_back()
    return bool(there or wired or known)


def status(slug: str) -> tuple[MachineStatus, ...]:
    """The machines of the commune's lab; empty when it is down."""
    there = containers.found(slug)
    return tuple(MachineStatus(name, there[name].state, there[name].image) for name in sorted(there))


def access(site: Site) -> Access:
    """How OpenSSH reaches the machines of the commune's lab, the unmanaged ones and `tinh` included."""
    slug = site.commune.slug
    hosts = {machine.name: str(machine.address) for machine in site.machines}
    behind = frozenset(hosts) - {site.gateway.name}
    hosts |= {site.gateway.name: str(gateway_address(0)), TINH: str(tinh_address(0))}
    return Access(
        user=site.support.user,
        known_hosts=state_dir(slug) / "known_hosts",
        gateway=site.gateway.name,
        hosts=hosts,
        behind=behind,
        identity=ssh_key(slug, "support"),
        commune=slug,
        proxy_command=f"{shlex.join(_from_laptop(slug))} nc %h %p",
    )


def shell(slug: str, machine: str) -> None:
    """Become root's shell on the machine. Does not return. LabError if the machine does not run."""
    containers.interactive(_running(slug, machine), ["bash", "--login"])


def run_in(
    slug: str, machine: str, argv: Sequence[str], *, check: bool = False, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a program on the machine as root, beside SSH. With `check`, LabError if it fails."""
    done = containers.execute(namespace(slug, machine), argv, timeout=timeout)
    if check and done.returncode != 0:
        raise LabError(f"{machine}: `{shlex.join(argv)}` failed: {(done.stderr or done.stdout).strip()}")
    return done


def _refuse(site: Site) -> None:
    taken = {TINH, LAPTOP} & {machine.name for machine in site.machines}
    if taken:
        raise LabError(f"a machine named {taken.pop()} cannot be in a lab: the lab has one of its own; rename it")
    if not site.uplinks:
        raise LabError("the commune has no uplink: the lab reaches its gateway by one")


def _containers(
    site: Site, debian: str | None, at_desks: tuple[str, ...], listener: Listener
) -> tuple[Container, ...]:
    wanted = {
        machine.name: (machine.debian or debian or "13", at_desks if machine.kind in DESKS else ())
        for machine in site.machines
    }
    with ThreadPoolExecutor() as pool:
        province = pool.submit(tinh_image, listener)
        making = {one: pool.submit(_image_of, *one, listener) for one in set(wanted.values())}
        images = {one: image.result() for one, image in making.items()}
    tinh = _container(site, TINH, province.result(), as_tar((*tinh_files(site), *common_files(site, TINH))))
    machines = (
        _container(site, machine.name, images[wanted[machine.name]], as_tar(machine_files(site, machine)))
        for machine in sorted(site.machines, key=_gateway_last)
    )
    # The gateway last: when it asks for its lease, tinh is there to give one.
    return (tinh, *machines)


def _image_of(release: str, packages: tuple[str, ...], listener: Listener) -> str:
    return desk_image(release, packages, listener) if packages else machine_image(release, listener)


def _gateway_last(machine: SiteMachine) -> tuple[bool, str]:
    return (machine.kind is Kind.GATEWAY, machine.name)


def _container(site: Site, machine: str, image: str, boot: bytes) -> Container:
    cables = tuple(f"{link.interface} {link.mac} {link.bridge}" for link in links(site) if link.machine == machine)
    return Container(site.commune.slug, machine, image, boot, cables)


def _write_known_hosts(slug: str, machines: Iterable[str]) -> None:
    lines = (f"{name} {_public(slug, name)}" for name in machines)
    write_private(state_dir(slug) / "known_hosts", "".join(f"{line}\n" for line in lines))


def _public(slug: str, machine: str) -> str:
    kind, key = ssh_key(slug, f"host-{machine}").with_suffix(".pub").read_text().split()[:2]
    return f"{kind} {key}"


def _stays(container: Container, there: dict[str, containers.Found]) -> bool:
    return container.machine in there and there[container.machine].recipe == container.recipe


def _remove_changed(wanted: Sequence[Container], there: dict[str, containers.Found]) -> None:
    for container in wanted:
        if container.machine in there and not _stays(container, there):
            containers.remove(container.name)
            del there[container.machine]


def _each(wanted: Sequence[Container], action: Callable[[Container], None]) -> None:
    """Do it for all of them side by side; the first error counts, after the others have ended."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for outcome in [pool.submit(action, container) for container in wanted]:
            outcome.result()


def _bring_up(
    container: Container, there: dict[str, containers.Found], keep: tuple[int, ...], listener: Listener
) -> None:
    if containers.ensure(container, there.get(container.machine), keep):
        listener(container.machine, "booting")
        listener(container.machine, containers.wait_until_booted(container.name, _BOOT_SECONDS))


def _wait_for_gateway(slug: str, site: Site) -> None:
    """Until SSH answers on the address that tinh leases to the gateway: the way in is open."""
    address = str(gateway_address(0))
    deadline = time.monotonic() + 45
    renew_at = time.monotonic() + 5
    while run([*_from_laptop(slug), "nc", "-z", "-w", "1", address, "22"], check=False).returncode != 0:
        if time.monotonic() > deadline:
            raise LabError(
                f"{site.gateway.name} is up but does not answer SSH on {address}; "
                f"`lienxa lab shell {slug} {site.gateway.name}` to look, or `lienxa lab down {slug}` to start afresh"
            )
        if time.monotonic() > renew_at:
            # It asked while tinh was away, and now waits longer and longer.
            interfaces = [uplink.interface for uplink in site.uplinks]
            run_in(slug, site.gateway.name, ["networkctl", "renew", *interfaces])
            renew_at = time.monotonic() + 10
        time.sleep(0.3)


def _from_laptop(slug: str) -> list[str]:
    """Enter the laptop's side of the lab: a packet for a lab address leaves from nowhere else."""
    return as_root(["nsenter", f"--net={path(namespace(slug, LAPTOP))}", "--"], ask=False)


def _running(slug: str, machine: str) -> str:
    there = containers.found(slug)
    if machine not in there or there[machine].state != "running":
        names = ", ".join(sorted(there)) or "none, the lab is down"
        raise LabError(f"no machine {machine} runs in the lab of {slug} (there are: {names}); `lienxa lab up {slug}`")
    return namespace(slug, machine)
