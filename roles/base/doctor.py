"""What can be wrong between a machine and its gateway, and with the machine as such."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.inventory.role import Kind
from deploy.journal import Words
from deploy.runner.diagnosis import Cause, Found, Patient
from deploy.runner.observe import clock_offset, interfaces, outside_answers, resolves
from roles.base.options import Options

TOPIC = "network"
MOST_SECONDS_OFF = 2.0
"""A signature's time stamp and a log-in by certificate bear no more."""
LEAST_FREE = 0.02
"""Of a file system."""

_APPLY = "lienxa apply {commune} --machine {machine} --role base"

NO_LINK = Cause(
    "network.no_link",
    english=Words(
        what="No cable is plugged into {machine}, or there is nothing at its other end.",
        why="Without a line to the switch nothing works that is not on the machine itself.",
        do="Plug the cable in at both ends, try another cable and another port of the switch; a light has to burn.",
    ),
    vietnamese=Words(
        what="Máy {machine} chưa cắm dây mạng, hoặc đầu kia của dây không nối vào đâu.",
        why="Không có dây nối tới bộ chuyển mạch thì mọi dịch vụ ngoài máy đều không dùng được.",
        do="Cắm chặt dây ở cả hai đầu, thử dây khác và cổng khác của bộ chuyển mạch; đèn ở cổng mạng phải sáng.",
    ),
)
NO_ADDRESS = Cause(
    "network.no_address",
    english=Words(
        what="{machine} was given no address by {gateway}.",
        why="It is plugged in but belongs to no network yet.",
        do="Is the port of the switch in the zone {zone}, and is the card's address in the inventory {mac}? "
        "Here it is {cards}.",
    ),
    vietnamese=Words(
        what="Máy {machine} không được {gateway} cấp địa chỉ mạng.",
        why="Dây đã cắm nhưng máy chưa vào được mạng nào.",
        do="Cổng của bộ chuyển mạch có thuộc vùng {zone} không? Địa chỉ MAC trong hồ sơ là {mac}, trên máy là "
        "{cards}.",
    ),
)
OTHER_ADDRESS = Cause(
    "network.other_address",
    english=Words(
        what="{machine} has the address {address}, and not its own, {own}.",
        why="The others know it by its own address: what they allow it they refuse a stranger.",
        do="Is its cable in the zone {zone}? Was its network card exchanged (the inventory has {mac}, here it is "
        "{cards})?",
    ),
    vietnamese=Words(
        what="Máy {machine} đang mang địa chỉ {address}, không phải địa chỉ của mình là {own}.",
        why="Các máy khác nhận ra nó theo địa chỉ; địa chỉ lạ thì bị từ chối.",
        do="Dây mạng có cắm đúng vùng {zone} không? Card mạng có bị thay không (hồ sơ ghi {mac}, trên máy là "
        "{cards})?",
    ),
)
GATEWAY_SILENT = Cause(
    "network.gateway_silent",
    english=Words(
        what="The gateway {gateway} does not answer {machine}.",
        why="Everything outside this room goes through it: names, mail, the portal.",
        do="Is {gateway} switched on, and is its cable to the switch plugged in? Ask it: "
        "lienxa doctor {commune} --machine {gateway}",
    ),
    vietnamese=Words(
        what="Thiết bị cổng mạng {gateway} không trả lời máy {machine}.",
        why="Mọi kết nối ra ngoài phòng đều đi qua thiết bị này: tên miền, thư điện tử, cổng một cửa.",
        do="Thiết bị {gateway} đã bật và đã cắm dây tới bộ chuyển mạch chưa?",
    ),
)
RESOLVER_SILENT = Cause(
    "network.resolver_silent",
    english=Words(
        what="{gateway} tells {machine} no names' addresses.",
        why="Programs look up every server by its name.",
        do="Start it again: the service unbound on {gateway}; `apply` does that.",
    ),
    vietnamese=Words(
        what="{gateway} không phân giải tên miền cho máy {machine}.",
        why="Chương trình nào cũng tìm máy chủ theo tên miền.",
        do="Khởi động lại dịch vụ unbound trên {gateway}; lệnh `apply` làm việc này.",
    ),
    command="lienxa apply {commune} --machine {gateway} --role network",
)
OTHER_RESOLVER = Cause(
    "network.other_resolver",
    english=Words(
        what="{machine} asks {resolvers} for names, and not the commune's gateway.",
        why="Nobody else knows the commune's own names, and the gateway's answers are the ones that are checked.",
        do="Somebody wrote it by hand, or a program did (a VPN); `apply` puts it right.",
    ),
    vietnamese=Words(
        what="Máy {machine} hỏi tên miền ở {resolvers}, không phải ở thiết bị cổng mạng của xã.",
        why="Nơi khác không biết tên các máy của xã; câu trả lời của cổng mạng mới được kiểm tra.",
        do="Có người hoặc phần mềm (VPN) đã sửa; lệnh `apply` đặt lại cho đúng.",
    ),
    command=_APPLY,
)
LINE_DOWN = Cause(
    "network.line_down",
    english=Words(
        what="The commune's line to the outside is down, or nobody out there answers {gateway}.",
        why="Inside all goes on, and mail waits; the portal and other services of the province are out of reach.",
        do="Look at the lights of the carrier's box, call the carrier. What {gateway} knows: "
        "lienxa doctor {commune} --machine {gateway}",
    ),
    vietnamese=Words(
        what="Đường truyền của xã ra ngoài bị gián đoạn, hoặc bên ngoài không trả lời {gateway}.",
        why="Trong xã vẫn làm việc được và thư sẽ chờ để gửi; cổng một cửa và dịch vụ của tỉnh thì chưa vào được.",
        do="Xem đèn trên thiết bị của nhà mạng, gọi nhà mạng.",
    ),
)
CLOCK_WRONG = Cause(
    "network.clock_wrong",
    english=Words(
        what="The clock of {machine} is {seconds} s {direction} the gateway's.",
        why="Certificates seem out of date, signatures get a wrong time, log-ins are refused.",
        do="Is the service chrony on? `apply` starts it. A clock that goes wrong whenever the machine was off "
        "wants a new "
        "battery.",
    ),
    vietnamese=Words(
        what="Đồng hồ của máy {machine} lệch {seconds} giây so với thiết bị cổng mạng.",
        why="Chứng thư số bị coi là hết hạn, chữ ký mang sai thời gian, đăng nhập bị từ chối.",
        do="Dịch vụ chrony có chạy không? Lệnh `apply` khởi động lại. Nếu cứ tắt máy là sai giờ thì phải thay pin "
        "CMOS.",
    ),
    command=_APPLY,
)
DISK_FULL = Cause(
    "network.disk_full",
    english=Words(
        what="The disk of {machine} is full: {free} MB are left on {where}.",
        why="Programs fail in strange ways, and nothing can be saved.",
        do="Empty the trash, move old scans and videos away; `du -xhd2 {where} | sort -h | tail` says what is large.",
    ),
    vietnamese=Words(
        what="Ổ đĩa của máy {machine} đã đầy: {where} chỉ còn {free} MB.",
        why="Chương trình lỗi bất thường và không lưu được gì nữa.",
        do="Dọn thùng rác, chuyển bản quét và video cũ đi nơi khác.",
    ),
)


@dataclass(frozen=True)
class Seen:
    """What the machine sees of the network and of itself."""

    linked: bool
    """Some card has a line."""
    addresses: tuple[str, ...]
    """IPv4, without those of the machine's own loopback."""
    cards: tuple[str, ...]
    """MAC addresses."""
    resolvers: tuple[str, ...]
    gateway_answers: bool
    names_answered: bool
    outside_answers: bool
    clock_ahead: float | None
    """Seconds that the gateway's clock is ahead of ours."""
    free: int
    """MB left on /."""
    full: bool


def diagnose(patient: Patient[Options]) -> Iterator[Found]:
    """What is wrong, from the cable outwards."""
    yield from judged(patient, look(patient))


def judged(patient: Patient[Options], seen: Seen) -> Iterator[Found]:
    """Which cause it is. Pure."""
    if patient.machine.kind is not Kind.GATEWAY:
        yield from _connected(patient, seen)
    if seen.clock_ahead is not None and abs(seen.clock_ahead) > MOST_SECONDS_OFF:
        direction = "behind" if seen.clock_ahead > 0 else "ahead of"
        yield CLOCK_WRONG.found(seconds=f"{abs(seen.clock_ahead):.0f}", direction=direction)
    if seen.full:
        yield DISK_FULL.found(free=seen.free, where="/")


def _connected(patient: Patient[Options], seen: Seen) -> Iterator[Found]:
    """The first thing on the way out that is broken; what lies behind it cannot be told."""
    machine, gateway = patient.machine, patient.site.gateway.name
    near = str(patient.site.zone(machine.zone).gateway)
    known = {"gateway": gateway, "zone": machine.zone, "mac": machine.mac or "-", "cards": ", ".join(seen.cards)}
    if not seen.linked:
        yield NO_LINK.found()
    elif not seen.addresses:
        yield NO_ADDRESS.found(**known)
    elif str(machine.address) not in seen.addresses:
        yield OTHER_ADDRESS.found(address=seen.addresses[0], own=machine.address, **known)
    elif not seen.gateway_answers:
        yield GATEWAY_SILENT.found(gateway=gateway)
    elif not seen.names_answered:
        yield RESOLVER_SILENT.found(gateway=gateway)
    elif near not in seen.resolvers and "127.0.0.53" not in seen.resolvers:
        yield OTHER_RESOLVER.found(resolvers=", ".join(seen.resolvers) or "-")
    elif not seen.outside_answers:
        yield LINE_DOWN.found(gateway=gateway)


def look(patient: Patient[Options]) -> Seen:
    """Ask the kernel, the gateway and the world."""
    links = [link for link in interfaces() if link["link_type"] == "ether"]
    addresses = [one["local"] for link in links for one in link["addr_info"] if one["family"] == "inet"]
    near = str(patient.site.zone(patient.machine.zone).gateway)
    usage = shutil.disk_usage("/")
    answers = bool(addresses) and _answers(near)
    return Seen(
        linked=any("LOWER_UP" in link["flags"] for link in links),
        addresses=tuple(addresses),
        cards=tuple(link["address"] for link in links),
        resolvers=_resolvers(),
        gateway_answers=answers,
        names_answered=answers and resolves(near, patient.site.gateway.fqdn),
        outside_answers=answers and outside_answers(near, patient.site.domain.split(".", 1)[1]),
        clock_ahead=clock_offset(near) if answers else None,
        free=usage.free // 1000**2,
        full=usage.free < usage.total * LEAST_FREE,
    )


def _answers(address: str) -> bool:
    """Whether somebody is there: to say no is an answer too."""
    try:
        socket.create_connection((address, socket.getservbyname("domain")), timeout=3).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


def _resolvers() -> tuple[str, ...]:
    lines = (line.split() for line in Path("/etc/resolv.conf").read_text(encoding="utf-8").splitlines())
    return tuple(words[1] for words in lines if words[:1] == ["nameserver"] and len(words) > 1)
