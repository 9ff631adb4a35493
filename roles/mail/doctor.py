"""What can be wrong with the mail server itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

from deploy.inventory.mailboxes import FOLDER
from deploy.journal import Words
from deploy.runner.diagnosis import Cause, Found, Patient
from deploy.runner.observe import unit_runs
from roles.mail import ROLE
from roles.mail.options import Options

TOPIC = "mail"
LONG = 3600.0
"""Seconds that mail may wait before somebody should know why."""
LEAST_FREE = 0.05

SERVICE_DOWN = Cause(
    "mail.service_down",
    english=Words(
        what="On {machine} the service {unit} does not run ({purpose}).",
        why="Mail does not arrive, or cannot be read; what others send waits at their servers for days.",
        do="`apply` starts it; if it does not stay up, `journalctl -u {unit} -n 50` on {machine} says why.",
    ),
    vietnamese=Words(
        what="Trên máy chủ thư {machine}, dịch vụ {unit} không chạy.",
        why="Thư không đến hoặc không đọc được; thư người khác gửi sẽ chờ ở máy chủ của họ vài ngày.",
        do="Lệnh `apply` khởi động lại; nếu vẫn dừng, xem `journalctl -u {unit} -n 50` trên {machine}.",
    ),
    command="lienxa apply {commune} --machine {machine} --role mail",
)
WAITS = Cause(
    "mail.waits",
    english=Words(
        what="{count} mails wait on {machine} for more than an hour: {reason}",
        why="Their senders think that they have arrived.",
        do="What the other server says stands above. `mailq` on {machine} lists them; once the cause is gone "
        "`postqueue -f` sends them at once.",
    ),
    vietnamese=Words(
        what="Có {count} thư chờ trên {machine} quá một giờ: {reason}",
        why="Người gửi tưởng rằng thư đã đến.",
        do="Lý do máy chủ bên kia trả lời ghi ở trên. Hết nguyên nhân thì chạy `postqueue -f` trên {machine} để "
        "gửi ngay.",
    ),
    warning=True,
)
DISK_FULL = Cause(
    "mail.disk_full",
    english=Words(
        what="The disk that has the mailboxes of {machine} is nearly full: {free} MB are left.",
        why="New mail is put off, then refused.",
        do="Enlarge the disk, or have people with large mailboxes tidy up.",
    ),
    vietnamese=Words(
        what="Ổ đĩa chứa hộp thư trên {machine} sắp đầy: còn {free} MB.",
        why="Thư mới sẽ bị hoãn rồi bị từ chối.",
        do="Mở rộng ổ đĩa, hoặc đề nghị người có hộp thư lớn dọn bớt.",
    ),
)


@dataclass(frozen=True)
class Seen:
    """What the server sees of itself."""

    down: tuple[str, ...]
    """Units of the card that do not run."""
    waiting: tuple[str, ...]
    """Of each mail that waits too long, why."""
    free: int
    """MB."""
    full: bool


def diagnose(patient: Patient[Options]) -> Iterator[Found]:
    """What is wrong."""
    yield from judged(patient, look())


def judged(patient: Patient[Options], seen: Seen) -> Iterator[Found]:
    """Which causes it are; that mail waits follows from a line that is down. Pure."""
    purposes = {unit.name: unit.purpose for unit in ROLE.units}
    for unit in seen.down:
        yield SERVICE_DOWN.found(unit=unit, purpose=purposes[unit])
    if seen.full:
        yield DISK_FULL.found(free=seen.free)
    if seen.waiting and patient.connected and not seen.down:
        yield WAITS.found(count=len(seen.waiting), reason=seen.waiting[0])


def look() -> Seen:
    """Ask systemd, Postfix and the disk."""
    down = tuple(unit.name for unit in ROLE.units if not unit_runs(unit.name))
    usage = shutil.disk_usage(FOLDER)
    return Seen(
        down=down,
        waiting=() if "postfix" in down else tuple(_waiting()),
        free=usage.free // 1000**2,
        full=usage.free < usage.total * LEAST_FREE,
    )


def _waiting() -> Iterator[str]:
    told = subprocess.run(["postqueue", "-j"], capture_output=True, text=True, check=False, timeout=20)
    for line in told.stdout.splitlines():
        mail = json.loads(line)
        if time.time() - mail["arrival_time"] > LONG:
            yield next((one["delay_reason"] for one in mail["recipients"] if one.get("delay_reason")), "-")
