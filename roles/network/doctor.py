"""What can be wrong with the gateway: its lines out, and what it serves the commune with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deploy.inventory.site import SiteUplink
from deploy.journal import Words
from deploy.runner.diagnosis import Cause, Found, Patient
from deploy.runner.observe import interfaces, outside_answers, unit_runs
from roles.network import ROLE, failover
from roles.network.options import Options

TOPIC = "network"

SERVICE_DOWN = Cause(
    "network.service_down",
    english=Words(
        what="On {machine} the service {unit} does not run ({purpose}).",
        why="The whole commune depends on it.",
        do="`apply` starts it; if it does not stay up, `journalctl -u {unit} -n 50` on {machine} says why.",
    ),
    vietnamese=Words(
        what="Trên {machine}, dịch vụ {unit} không chạy.",
        why="Cả xã phụ thuộc vào dịch vụ này.",
        do="Lệnh `apply` khởi động lại; nếu vẫn dừng, xem `journalctl -u {unit} -n 50` trên {machine}.",
    ),
    command="lienxa apply {commune} --machine {machine} --role network",
)
UPLINK_NO_LINK = Cause(
    "network.uplink_no_link",
    english=Words(
        what="Nothing is plugged into {interface} of {machine}, where the line {uplink} belongs.",
        why="Without it the commune has no way out.",
        do="Plug in the cable from the carrier's box; is the box switched on?",
    ),
    vietnamese=Words(
        what="Cổng {interface} của {machine} (đường truyền {uplink}) chưa cắm dây.",
        why="Không có đường này thì xã không ra ngoài được.",
        do="Cắm dây từ thiết bị của nhà mạng; thiết bị đó đã bật chưa?",
    ),
)
UPLINK_NO_ADDRESS = Cause(
    "network.uplink_no_address",
    english=Words(
        what="The carrier gives {machine} no address on the line {uplink} ({interface}).",
        why="The cable is good, but the line is not open.",
        do="Restart the carrier's box and wait five minutes. Then call the carrier: is the line paid, is an "
        "account or "
        "another way of connecting wanted (`address` of the uplink in the inventory: {method})?",
    ),
    vietnamese=Words(
        what="Nhà mạng không cấp địa chỉ cho {machine} trên đường truyền {uplink} ({interface}).",
        why="Dây tốt nhưng đường truyền chưa thông.",
        do="Khởi động lại thiết bị của nhà mạng, đợi năm phút. Vẫn không được thì gọi nhà mạng: cước đã đóng chưa, "
        "có cần "
        "tài khoản kết nối không (hồ sơ ghi cách kết nối: {method})?",
    ),
)
UPLINK_SILENT = Cause(
    "network.uplink_silent",
    english=Words(
        what="The line {uplink} ({interface}) of {machine} has an address, but nobody beyond it answers.",
        why="The commune works on by {in_use}. If that one fails too, nobody gets out.",
        do="Restart the carrier's box of {uplink}, or call the carrier. Once it answers it is used again by itself.",
    ),
    vietnamese=Words(
        what="Đường truyền {uplink} ({interface}) của {machine} có địa chỉ nhưng bên ngoài không trả lời.",
        why="Xã vẫn làm việc qua đường {in_use}. Nếu đường đó cũng hỏng thì không ra ngoài được nữa.",
        do="Khởi động lại thiết bị của nhà mạng ở đường {uplink}; vẫn không được thì gọi nhà mạng. Khi có tín hiệu, "
        "máy tự dùng lại đường này.",
    ),
)
UPSTREAM_SILENT = Cause(
    "network.upstream_silent",
    english=Words(
        what="{machine} has its lines, but nobody beyond them answers.",
        why="Inside all goes on, and mail waits; the province's services are out of reach.",
        do="The fault is the carrier's or the province's: call them and say that the address is there and nothing "
        "answers.",
    ),
    vietnamese=Words(
        what="{machine} đã có đường truyền nhưng bên ngoài không trả lời.",
        why="Trong xã vẫn làm việc được và thư sẽ chờ để gửi; chưa vào được dịch vụ của tỉnh.",
        do="Lỗi ở phía nhà mạng hoặc ở tỉnh: gọi và báo rằng máy đã có địa chỉ nhưng không nơi nào trả lời.",
    ),
)


@dataclass(frozen=True)
class Seen:
    """What the gateway sees of its lines and of itself."""

    linked: Mapping[str, bool]
    """By interface: whether it has a line."""
    addressed: frozenset[str]
    """Interfaces with an IPv4 address."""
    down: tuple[str, ...]
    """Units of the card that do not run."""
    outside_answers: bool
    silent: frozenset[str] = frozenset()
    """Of several lines the names of those through which nobody answers."""
    in_use: str = ""
    """Of several lines the name of that which new connections take."""


def diagnose(patient: Patient[Options]) -> Iterator[Found]:
    """What is wrong, from the inside out."""
    yield from judged(patient, look(patient))


def judged(patient: Patient[Options], seen: Seen) -> Iterator[Found]:
    """Which causes it are: a line that is broken says why nobody answers. Pure."""
    purposes = {unit.name: unit.purpose for unit in ROLE.units}
    for unit in seen.down:
        yield SERVICE_DOWN.found(unit=unit, purpose=purposes[unit])
    broken = [found for uplink in patient.site.uplinks for found in _line(uplink, seen)]
    yield from broken
    if not (seen.down or broken or seen.outside_answers):
        yield UPSTREAM_SILENT.found()


def _line(uplink: SiteUplink, seen: Seen) -> Iterator[Found]:
    known = {"uplink": uplink.name, "interface": uplink.interface, "method": uplink.method}
    if not seen.linked.get(uplink.interface, False):
        yield UPLINK_NO_LINK.found(**known)
    elif uplink.method == "dhcp" and uplink.interface not in seen.addressed:
        yield UPLINK_NO_ADDRESS.found(**known)
    elif uplink.name in seen.silent and uplink.name != seen.in_use:
        yield UPLINK_SILENT.found(in_use=seen.in_use, uplink=uplink.name, interface=uplink.interface)


def look(patient: Patient[Options]) -> Seen:
    """Ask systemd, the kernel, the watcher of the lines, and the world."""
    links = interfaces()
    watched = failover.watched()
    return Seen(
        linked={link["ifname"]: "LOWER_UP" in link["flags"] for link in links},
        addressed=frozenset(
            link["ifname"] for link in links if any(one["family"] == "inet" for one in link["addr_info"])
        ),
        down=tuple(unit.name for unit in ROLE.units if not unit_runs(unit.name)),
        outside_answers=outside_answers("127.0.0.1", patient.site.domain.split(".", 1)[1]),
        silent=watched.silent,
        in_use=watched.in_use,
    )
