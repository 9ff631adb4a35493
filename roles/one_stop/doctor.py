"""What can be wrong between a desk and the province's portals: browsers, signing helpers, names, the way there."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deploy.inventory.urls import HTTPS
from deploy.journal import Words
from deploy.runner.diagnosis import Cause, Found, Patient
from deploy.runner.observe import Outcome, knock, read_json
from roles.one_stop import chromium, firefox
from roles.one_stop.options import Options
from roles.one_stop.tasks import CHROMIUM, FIREFOX

TOPIC = "portal"
HOSTS = "/etc/hosts"

_APPLY = "lienxa apply {commune} --machine {machine} --role one_stop"

POLICY_MISSING = Cause(
    "portal.policy_missing",
    english=Words(
        what="{browser} on {machine} is not told about the portals as the inventory says: {file}.",
        why="Pop-ups, certificates or signing do not work there, though the portal itself is good.",
        do="`apply` writes it; then close the browser and open it again.",
    ),
    vietnamese=Words(
        what="Trình duyệt {browser} trên máy {machine} chưa được cấu hình cho các cổng như trong hồ sơ: {file}.",
        why="Cửa sổ bật lên, chứng thư hoặc ký số không dùng được, dù cổng vẫn tốt.",
        do="Lệnh `apply` ghi lại tệp này; sau đó đóng rồi mở lại trình duyệt.",
    ),
    command=_APPLY,
)
HELPER_SILENT = Cause(
    "portal.helper_silent",
    english=Words(
        what="No signing program listens on {machine}, port {port}, for {portal}.",
        why="The portal's page cannot reach the token; it says that the signing program is not installed.",
        do="Start the signing program from the menu, or install the version that the portal offers.",
    ),
    vietnamese=Words(
        what="Trên máy {machine} chưa có chương trình ký số nào chạy ở cổng {port} cho {portal}.",
        why="Trang của cổng không tới được thiết bị ký và báo chưa cài chương trình ký số.",
        do="Mở chương trình ký số từ trình đơn, hoặc cài bản mà cổng cung cấp.",
    ),
)
IN_HOSTS = Cause(
    "portal.hosts_file",
    english=Words(
        what="On {machine} the file /etc/hosts says where {host} is: {address}.",
        why="That holds even when the province moves the portal; people end up at a machine that is not it.",
        do="Take the line out of /etc/hosts.",
    ),
    vietnamese=Words(
        what="Trên máy {machine}, tệp /etc/hosts ghi cứng địa chỉ của {host}: {address}.",
        why="Khi tỉnh chuyển cổng sang máy khác, máy này vẫn vào địa chỉ cũ.",
        do="Xóa dòng đó trong /etc/hosts.",
    ),
)
NO_NAME = Cause(
    "portal.no_name",
    english=Words(
        what="{machine} finds no address of {host} ({portal}).",
        why="The browser says that the page does not exist.",
        do="Is the name in province.yaml (`upstream.portals`) written right? If it is, tell the province.",
    ),
    vietnamese=Words(
        what="Máy {machine} không tìm thấy địa chỉ của {host} ({portal}).",
        why="Trình duyệt báo trang không tồn tại.",
        do="Tên trong province.yaml (`upstream.portals`) đã đúng chưa? Nếu đúng, báo cho tỉnh.",
    ),
)
BLOCKED = Cause(
    "portal.blocked",
    english=Words(
        what="A firewall does not let {machine} through to {host}, port {port} ({portal}).",
        why="The portal is there, but not for this machine.",
        do="Of the commune's own firewalls `apply` on the gateway and this machine sets the rules right; beyond "
        "them it is the province's or the provider's.",
    ),
    vietnamese=Words(
        what="Tường lửa không cho máy {machine} tới {host}, cổng {port} ({portal}).",
        why="Cổng vẫn chạy, nhưng máy này không vào được.",
        do="Tường lửa của xã: chạy `apply` cho thiết bị cổng mạng và máy này. Vẫn vậy thì báo tỉnh hoặc nhà mạng.",
    ),
    command="lienxa apply {commune} --role network --role firewall",
)
CLOSED = Cause(
    "portal.closed",
    english=Words(
        what="{host} does not answer {machine} on port {port} ({portal}).",
        why="The portal is down, or somebody on the way swallows what is sent to it.",
        do="Try it from another network, a phone's. If it is down there too, tell the province.",
    ),
    vietnamese=Words(
        what="{host} không trả lời máy {machine} ở cổng {port} ({portal}).",
        why="Cổng ngừng chạy, hoặc đường tới cổng bị chặn.",
        do="Thử bằng mạng khác, ví dụ điện thoại. Nếu cũng không vào được, báo cho tỉnh.",
    ),
)
NOT_BELIEVED = Cause(
    "portal.certificate",
    english=Words(
        what="{machine} does not believe the certificate of {host} ({portal}): {reason}.",
        why="The browser refuses the page, and there is no way past: it may be somebody else who answers.",
        do="Is the province's authority in `upstream.trust_anchors`? Then tell the province. Never teach people to "
        "click it away.",
    ),
    vietnamese=Words(
        what="Máy {machine} không tin chứng thư của {host} ({portal}): {reason}.",
        why="Trình duyệt từ chối mở trang và không cho bỏ qua: có thể ai đó giả mạo cổng.",
        do="Nơi cấp chứng thư của tỉnh đã có trong `upstream.trust_anchors` chưa? Có rồi thì báo cho tỉnh.",
    ),
)


@dataclass(frozen=True)
class Reached:
    """How far a desk came with an origin of a portal."""

    portal: str
    host: str
    port: int
    outcome: Outcome = "good"
    reason: str = ""


@dataclass(frozen=True)
class Seen:
    """What a desk sees of the portals."""

    policies: dict[str, str]
    """Of browsers that are not told what they should be: the file."""
    silent: tuple[tuple[str, int], ...]
    """Portals and ports where no helper listens."""
    hosts: dict[str, str]
    """Addresses that the machine itself has written down, by name."""
    origins: Sequence[Reached]


def diagnose(patient: Patient[Options]) -> Iterator[Found]:
    """What is wrong."""
    yield from judged(patient, look(patient))


def judged(patient: Patient[Options], seen: Seen) -> Iterator[Found]:
    """Which cause it is: of the way to a portal only where the network is good. Pure."""
    yield from (POLICY_MISSING.found(browser=name, file=file) for name, file in seen.policies.items())
    # Who signs starts the helper: that it rests is a fault only to who asks about it.
    if TOPIC in patient.asked:
        yield from (HELPER_SILENT.found(portal=portal, port=port) for portal, port in seen.silent)
    for one in seen.origins:
        if address := seen.hosts.get(one.host):
            yield IN_HOSTS.found(host=one.host, address=address)
        elif patient.connected:
            yield from _of_origin(one)


def _of_origin(one: Reached) -> Iterator[Found]:
    where = {"portal": one.portal, "host": one.host, "port": one.port}
    match one.outcome:
        case "no name":
            yield NO_NAME.found(**where)
        case "blocked":
            yield BLOCKED.found(**where)
        case "closed":
            yield CLOSED.found(**where)
        case "not believed":
            yield NOT_BELIEVED.found(reason=one.reason, **where)
        case "good":
            return


def look(patient: Patient[Options]) -> Seen:
    """Read what browsers are told, and knock at the portals as a browser does; nobody logs in."""
    site = patient.site
    wanted = {
        ("Chromium", CHROMIUM): chromium.policies(site, patient.options),
        ("Firefox", FIREFOX): firefox.policies(site, patient.machine, patient.options),
    }
    portals = site.upstream.portals
    return Seen(
        policies={name: file for (name, file), told in wanted.items() if read_json(file) != told},
        silent=tuple((one.title, port) for one in portals for port in one.helper_ports if not _listens(port)),
        hosts=written_down(Path(HOSTS).read_text(encoding="utf-8")),
        origins=[_reach(one.title, origin) for one in portals for origin in one.origins] if patient.connected else (),
    )


def written_down(hosts: str) -> dict[str, str]:
    """Addresses by name in a file of hosts(5)."""
    lines = (line.partition("#")[0].split() for line in hosts.splitlines())
    return {name: words[0] for words in lines if words for name in words[1:]}


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        trial.settimeout(1)
        return trial.connect_ex(("127.0.0.1", port)) == 0


def _reach(portal: str, origin: str) -> Reached:
    parts = urlsplit(origin)
    host, port = parts.hostname or "", parts.port or HTTPS
    found = knock(host, port)
    return Reached(portal, host, port, found.outcome, found.reason)
