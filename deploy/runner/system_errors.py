"""What the kernel says when a machine cannot go on, for the engineer: the cause by its name, and the next step."""

from __future__ import annotations

import errno
import os

from deploy.runner.operations.script import Reason

SYSTEM_ERRORS = {
    errno.ENOSPC: Reason(
        "the machine's disk is full", "Free some space (`df -h`, `apt-get clean`, `journalctl --vacuum-size=100M`)."
    ),
    errno.EDQUOT: Reason("the machine's disk quota is used up", "Free some space (`df -h`, `quota`)."),
    errno.EROFS: Reason(
        "the machine's file system is read-only", "Look at `dmesg` for disk errors, and at the mounts."
    ),
    errno.EIO: Reason(
        "the machine's disk does not answer properly", "Look at `dmesg`; a disk that fails has to be replaced."
    ),
    errno.ENOMEM: Reason("the machine has no memory left", "Look at `free -m` and at what takes it."),
}
"""By the kernel's number."""


def reason_in(output: str) -> Reason | None:
    """The same, found in what a program printed."""
    return next((reason for number, reason in SYSTEM_ERRORS.items() if os.strerror(number) in output), None)
