"""What can be wrong with mail at a desk: the servers, their certificate, and what Thunderbird is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.inventory.mail_clients import Server, imap_of, submission_of
from deploy.inventory.role import TRUST_ANCHOR
from deploy.journal import Words
from deploy.runner.diagnosis import Cause, Found, Patient
from deploy.runner.observe import Outcome, knock
from roles.mail_client.options import Options
from roles.mail_client.tasks import POLICIES, account_file

TOPIC = "mail"

_APPLY = "lienxa apply {commune} --machine {machine} --role mail_client"

NO_NAME = Cause(
    "mail.no_name",
    english=Words(
        what="{machine} finds no address of the mail server {host}.",
        why="Mail programs say that the server does not exist.",
        do="Of the commune's own server the gateway knows the name: apply it there. Of the province's: is the name "
        "in "
        "province.yaml (`upstream.mail`) written right?",
    ),
    vietnamese=Words(
        what="Máy {machine} không tìm thấy địa chỉ của máy chủ thư {host}.",
        why="Chương trình thư báo máy chủ không tồn tại.",
        do="Máy chủ của xã: chạy lại lệnh `apply` cho thiết bị cổng mạng. Máy chủ của tỉnh: tên trong province.yaml "
        "(`upstream.mail`) đã đúng chưa?",
    ),
)
CLOSED = Cause(
    "mail.closed",
    english=Words(
        what="The mail server {host} does not answer {machine} on port {port}.",
        why="Mail can be neither read nor sent; what others send meanwhile is not lost.",
        do="Of the commune's own server: is the machine on? lienxa doctor {commune} --topic mail asks it. Of the "
        "province's: "
        "tell the province.",
    ),
    vietnamese=Words(
        what="Máy chủ thư {host} không trả lời máy {machine} ở cổng {port}.",
        why="Chưa đọc và chưa gửi được thư; thư người khác gửi đến không mất.",
        do="Máy chủ của xã: máy đã bật chưa? Máy chủ của tỉnh: báo cho tỉnh.",
    ),
)
NO_ANCHOR = Cause(
    "mail.no_anchor",
    english=Words(
        what="{machine} does not have the certificate of the commune's own authority.",
        why="Programs warn of the mail server, and people learn to click warnings away.",
        do="`apply` puts it there.",
    ),
    vietnamese=Words(
        what="Máy {machine} thiếu chứng thư của nơi cấp chứng thư nội bộ xã.",
        why="Chương trình cảnh báo về máy chủ thư, và mọi người quen bấm bỏ qua cảnh báo.",
        do="Lệnh `apply` cài lại.",
    ),
    command="lienxa apply {commune} --machine {machine} --role base",
)
NOT_BELIEVED = Cause(
    "mail.certificate",
    english=Words(
        what="{machine} does not believe the certificate of the mail server {host}: {reason}.",
        why="Programs refuse to connect, or ask people to trust a stranger.",
        do="Out of date: `lienxa secrets renew {commune}`, then apply. For another name: is `services.mail` right? "
        "Of the "
        "province's server: tell the province.",
    ),
    vietnamese=Words(
        what="Máy {machine} không tin chứng thư của máy chủ thư {host}: {reason}.",
        why="Chương trình từ chối kết nối, hoặc bảo người dùng tin một máy chủ lạ.",
        do="Hết hạn: chạy `lienxa secrets renew {commune}` rồi `apply`. Máy chủ của tỉnh: báo cho tỉnh.",
    ),
)
NOT_SET_UP = Cause(
    "mail.not_set_up",
    english=Words(
        what="On {machine} Thunderbird is not told where the mailboxes are: {file} is missing.",
        why="It finds no account by the address, and asks strangers for it.",
        do="`apply` writes it.",
    ),
    vietnamese=Words(
        what="Trên máy {machine}, Thunderbird chưa được cấu hình nơi đặt hộp thư: thiếu tệp {file}.",
        why="Nhập địa chỉ thư vào sẽ không tìm thấy tài khoản.",
        do="Lệnh `apply` ghi lại tệp này.",
    ),
    command=_APPLY,
)


@dataclass(frozen=True)
class Reached:
    """How far a desk came with a server."""

    server: Server
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True)
class Seen:
    """What a desk sees of its mail."""

    servers: Sequence[Reached]
    anchor: bool
    """Whether the commune's own authority is on the machine."""
    missing: tuple[str, ...]
    """Files that Thunderbird is told by."""


def diagnose(patient: Patient[Options]) -> Iterator[Found]:
    """What is wrong."""
    if patient.site.mail is not None:
        yield from judged(patient, look(patient))


def judged(patient: Patient[Options], seen: Seen) -> Iterator[Found]:
    """Which cause it is: of the servers only where the network is good, and each once. Pure."""
    own = patient.site.mail is not None and patient.site.mail.mode == "local"
    if own and not seen.anchor:
        yield NO_ANCHOR.found()
    if seen.missing:
        yield NOT_SET_UP.found(file=seen.missing[0])
    if patient.connected:
        told: set[tuple[str, Outcome]] = set()
        for one in seen.servers:
            if (one.server.host, one.outcome) not in told:
                yield from _of_server(one, anchored=seen.anchor or not own)
            told.add((one.server.host, one.outcome))


def _of_server(one: Reached, *, anchored: bool) -> Iterator[Found]:
    match one.outcome:
        case "no name":
            yield NO_NAME.found(host=one.server.host)
        case "closed" | "blocked":
            yield CLOSED.found(host=one.server.host, port=one.server.port)
        case "not believed" if anchored:
            yield NOT_BELIEVED.found(host=one.server.host, reason=one.reason)
        case _:
            return


def look(patient: Patient[Options]) -> Seen:
    """Knock at the servers as a mail program does; no password is asked for or given."""
    site = patient.site
    assert site.mail is not None
    servers = (imap_of(site), submission_of(site))
    return Seen(
        servers=tuple(_reach(server) for server in servers) if patient.connected else (),
        anchor=Path(TRUST_ANCHOR).exists(),
        missing=tuple(path for path in (POLICIES, account_file(site.mail)) if not Path(path).exists()),
    )


def _reach(server: Server) -> Reached:
    found = knock(server.host, server.port)
    return Reached(server, found.outcome, found.reason)
