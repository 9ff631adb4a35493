"""A machine with Debian's own kernel, in QEMU: its disk, its start, its end, and root's shell on it.

QEMU emulates the processor (TCG), so this goes wherever the tests go, and slowly. The machine's clock counts
instructions (500 million are a second): where the laptop is busy with other things the machine does not notice, and
measures what it would have measured on a quiet one. The laptop stands in the machine's management zone: QEMU's
user-mode network, of which one port leads in from loopback and none out.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.lab.boot import File, as_tar
from deploy.lab.image import archive_with
from deploy.lab.laptop import as_root, cache_dir, locked, run

KERNEL_PACKAGE = "linux-image-cloud-amd64"
RELEASE = "13"
MANAGEMENT = "mgt0"
"""The machine's port to the laptop."""
LONGEST_BOOT = 600.0
_DISK_BYTES = 4 * 2**30
_MEMORY = "1536"
_KERNEL_WORDS = (
    "root=/dev/vda rw console=ttyS0 quiet systemd.show_status=0 net.ifnames=0 mitigations=off audit=0 "
    "lsm=capability panic=-1"
)

# An initramfs with what this disk needs and no more: unpacking is what the emulated processor is slow at. The account
# is what `lienxa adopt` would have made. What differs from run to run comes as a tar on a disk of its own.
FINISH = f"""
printf 'virtio_pci\\nvirtio_blk\\next4\\n' >>"$1/etc/initramfs-tools/modules"
printf 'MODULES=list\\nCOMPRESS=zstd\\nBUSYBOX=n\\n' >"$1/etc/initramfs-tools/conf.d/lienxa"
chroot "$1" update-initramfs -u
echo '/dev/vda / ext4 noatime 0 1' >"$1/etc/fstab"
printf '[Match]\\nDriver=virtio_net\\n\\n[Link]\\nName={MANAGEMENT}\\n' >"$1/etc/systemd/network/10-test.link"
echo gw1 >"$1/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 gw1\n' >"$1/etc/hosts"
echo 'nameserver 127.0.0.1' >"$1/etc/resolv.conf"
printf 'vi_VN.UTF-8 UTF-8\nen_US.UTF-8 UTF-8\n' >>"$1/etc/locale.gen"
chroot "$1" locale-gen >/dev/null
chroot "$1" useradd --create-home --shell /bin/bash hotro
chroot "$1" usermod --password '*' hotro
echo 'hotro ALL=(ALL) NOPASSWD: ALL' >"$1/etc/sudoers.d/hotro"
install -D -m 644 /dev/stdin "$1/etc/systemd/system/test-given.service" <<'END'
[Unit]
DefaultDependencies=no
After=systemd-remount-fs.service dev-vdb.device
Requires=dev-vdb.device
Before=sysinit.target systemd-networkd.service
[Service]
Type=oneshot
ExecStart=/usr/bin/tar --extract --file=/dev/vdb --directory=/ --no-overwrite-dir
[Install]
WantedBy=sysinit.target
END
chroot "$1" systemctl enable --quiet test-given.service
# What the roles start they start themselves; until then, and besides, nothing that takes time.
for unit in chrony kea-dhcp4-server networking prometheus-node-exporter unbound unattended-upgrades \\
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap; do
    chroot "$1" systemctl disable --quiet "$unit" || :
done
for unit in serial-getty@ttyS0.service getty@tty1.service systemd-hwdb-update.service systemd-pstore.service \\
    modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service modprobe@efi_pstore.service \\
    modprobe@fuse.service modprobe@loop.service proc-sys-fs-binfmt_misc.automount dev-hugepages.mount \\
    dev-mqueue.mount sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-debug.mount \\
    sys-kernel-tracing.mount; do
    ln -sf /dev/null "$1/etc/systemd/system/$unit"
done
touch "$1/etc/.updated" "$1/var/.updated"
"""


@dataclass(frozen=True)
class Disk:
    """A file system with Debian on it, and its kernel."""

    image: Path
    kernel: Path
    initramfs: Path


def disk_with(packages: Sequence[str], listener: Callable[[str, str], None] = lambda machine, said: None) -> Disk:
    """A disk on which these packages are installed; made once a month."""
    archive = archive_with("kernel", RELEASE, [KERNEL_PACKAGE, *packages], FINISH, listener)
    stem = archive.name.removesuffix(".tar.zst")
    folder = cache_dir() / "disks"
    folder.mkdir(exist_ok=True)
    made = folder / stem
    with locked("disk-kernel"):
        for other in folder.iterdir():
            if other != made and time.time() - other.stat().st_mtime > 3 * 86400:
                shutil.rmtree(other)
        if not made.exists():
            _make(archive, made)
        os.utime(made)
    return Disk(made / "root", made / "vmlinuz", made / "initrd.img")


def _make(archive: Path, made: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="lienxa-disk-", dir=made.parent) as scratch:
        root, target = Path(scratch) / "tree", Path(scratch) / "made"
        target.mkdir()
        run(["mkdir", str(root)], root=True)
        try:
            unpacked = subprocess.Popen(["zstd", "-dcq", str(archive)], stdout=subprocess.PIPE)
            tar = as_root(["tar", "--extract", "--numeric-owner", "--directory", str(root)])
            subprocess.run(tar, stdin=unpacked.stdout, check=True)
            assert unpacked.wait() == 0
            with (target / "root").open("wb") as image:
                image.truncate(_DISK_BYTES)
            run(["mke2fs", "-q", "-t", "ext4", "-d", str(root), str(target / "root")], root=True)
            for name in ("vmlinuz", "initrd.img"):
                run(["cp", "--dereference", str(root / name), str(target / name)], root=True)
            run(["chown", "-R", f"{os.getuid()}:{os.getgid()}", str(target)], root=True)
            target.rename(made)
        finally:
            run(["rm", "-rf", "--one-file-system", str(root)], root=True)


@dataclass(frozen=True)
class Guest:
    """A machine that runs."""

    port: int
    """On the laptop's loopback, where its SSH is."""
    ssh: tuple[str, ...]
    """The command up to the remote one, as the support account."""
    console: Path

    def sh(self, script: str, *, stdin: bytes = b"", seconds: float = 300) -> str:
        """Root's shell; fails with all it said."""
        command = [*self.ssh, "sudo", "sh", "-ec", shlex.quote(script)]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=seconds)
        said = done.stdout.decode(errors="replace")
        assert done.returncode == 0, f"{script}\n{said}{done.stderr.decode(errors='replace')}"
        return said

    def through(self, namespace: str, address: str, command: str) -> str:
        """The same on a machine that is reached from a network namespace of this one, over SSH through it."""
        relay = f"exec 3<>/dev/tcp/{address}/22; cat <&3 & cat >&3; wait"
        jump = shlex.join([*self.ssh, "sudo", "ip", "netns", "exec", namespace, "bash", "-c", shlex.quote(relay)])
        options = ["-o", f"ProxyCommand={jump}", "-o", "ControlPath=none", "-o", "ControlMaster=no"]
        ssh = [*self.ssh[:1], *options, *self.ssh[1:]]
        done = subprocess.run([*ssh, command], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def booted(disk: Disk, folder: Path, key: Path, network: str, address: str) -> Iterator[Guest]:
    """A machine that lets the key in; the disk itself stays as it was. It ends with us, however we end.

    network, address: the management zone's, and the machine's own there.
    """
    tar = folder / "given.tar"
    tar.write_bytes(as_tar(_machine_files(folder, key, network, address)))
    port, console = _free_port(), folder / "console.txt"
    ssh = _ssh(folder, key, port)
    process = subprocess.Popen(
        [
            "setpriv",
            "--pdeathsig",
            "KILL",
            *_qemu(disk, tar, console, port, network, address),
        ],
        stdin=subprocess.DEVNULL,
    )
    try:
        _wait_for_ssh(process, ssh, console)
        yield Guest(port, ssh, console)
    finally:
        subprocess.run([*ssh[:-2], "-O", "exit", "guest"], capture_output=True, check=False, timeout=30)
        process.kill()
        process.wait()


def _machine_files(folder: Path, key: Path, network: str, address: str) -> list[File]:
    host = folder / "host"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "gw1", "-f", str(host)])
    length = network.partition("/")[2]
    mine = f"[Match]\nName={MANAGEMENT}\n\n[Network]\nAddress={address}/{length}\nLinkLocalAddressing=no\n"
    return [
        File("/etc/ssh/ssh_host_ed25519_key", host.read_text(), 0o600),
        File("/etc/ssh/ssh_host_ed25519_key.pub", host.with_suffix(".pub").read_text()),
        File("/home/hotro/.ssh/authorized_keys", key.with_suffix(".pub").read_text()),
        File("/etc/systemd/network/90-installer.network", mine),
    ]


def _qemu(disk: Disk, tar: Path, console: Path, port: int, network: str, address: str) -> list[str]:
    return [
        "qemu-system-x86_64",
        *("-machine", "q35,usb=off", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", _MEMORY),
        # Its clock counts instructions, four nanoseconds each: a busy laptop changes no figure, and it keeps pace.
        *("-icount", "shift=2"),
        *("-nodefaults", "-display", "none", "-no-reboot", "-serial", f"file:{console}"),
        *("-kernel", str(disk.kernel), "-initrd", str(disk.initramfs), "-append", _KERNEL_WORDS),
        *("-drive", f"file={disk.image},format=raw,if=virtio,snapshot=on,cache=unsafe"),
        *("-drive", f"file={tar},format=raw,if=virtio,readonly=on"),
        *("-device", "virtio-rng-pci", "-device", "virtio-net-pci,netdev=laptop"),
        "-netdev",
        f"user,id=laptop,restrict=on,ipv6=off,net={network},hostfwd=tcp:127.0.0.1:{port}-{address}:22",
    ]


def _ssh(folder: Path, key: Path, port: int) -> tuple[str, ...]:
    options = {
        "UserKnownHostsFile": str(folder / "guest_hosts"),
        "StrictHostKeyChecking": "accept-new",
        "IdentityFile": str(key),
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "ConnectTimeout": "20",
        "ControlMaster": "auto",
        "ControlPath": f"/tmp/lienxa-kernel-{os.getpid()}",
        "ControlPersist": "yes",
        "ServerAliveInterval": "15",
        "LogLevel": "ERROR",
        "HostName": "127.0.0.1",
        "Port": str(port),
        "User": "hotro",
    }
    return (
        "ssh",
        "-F",
        "none",
        *(word for name, value in options.items() for word in ("-o", f"{name}={value}")),
        "guest",
    )


def _wait_for_ssh(process: subprocess.Popen[bytes], ssh: Sequence[str], console: Path) -> None:
    end = time.monotonic() + LONGEST_BOOT
    while subprocess.run([*ssh, "true"], capture_output=True, check=False, timeout=60).returncode != 0:
        said = console.read_text(errors="replace")[-3000:] if console.exists() else ""
        assert process.poll() is None, f"QEMU has ended: {said}"
        assert time.monotonic() < end, f"it did not boot: {said}"
        time.sleep(1)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
