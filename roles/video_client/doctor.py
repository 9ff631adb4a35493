"""What can be wrong with meetings: the browser's policy, the way to the service, devices, and a room's telephone."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from deploy.inventory.site import SiteMeetingService
from deploy.inventory.urls import HTTPS
from deploy.journal import Words
from deploy.runner.diagnosis import Cause, Found, Patient
from deploy.runner.observe import Outcome, knock, read_json
from roles.video_client import lobby, sip
from roles.video_client.chromium import policies
from roles.video_client.options import Options
from roles.video_client.tasks import POLICY

TOPIC = "meeting"
SOUND_CARDS = "/proc/asound/cards"
REGISTERED_SECONDS = 10.0
"""A telephone that has just been started needs a few."""

_APPLY = "lienxa apply {commune} --machine {machine} --role video_client"
_PHONE_LOG = "`journalctl -u lienxa-sip -n 30` on {machine}"

Telephone = Literal["registered", "does not run", "refused", "no answer"]

POLICY_MISSING = Cause(
    "meeting.policy_missing",
    english=Words(
        what="Chromium on {machine} is not told that {service} may see and hear: {file}.",
        why="It asks for camera and microphone in the middle of a meeting, or refuses them.",
        do="`apply` writes it; then close the browser and open it again.",
    ),
    vietnamese=Words(
        what="Chromium trên máy {machine} chưa được phép dùng camera và micrô cho {service}: {file}.",
        why="Trình duyệt hỏi quyền giữa cuộc họp, hoặc từ chối camera và micrô.",
        do="Lệnh `apply` ghi lại tệp này; sau đó đóng rồi mở lại trình duyệt.",
    ),
    command=_APPLY,
)
NO_NAME = Cause(
    "meeting.no_name",
    english=Words(
        what="{machine} finds no address of {host} ({service}).",
        why="Nobody gets into a meeting from here.",
        do="Is the name in province.yaml (`upstream.meeting`) written right? If it is, tell the province.",
    ),
    vietnamese=Words(
        what="Máy {machine} không tìm thấy địa chỉ của {host} ({service}).",
        why="Từ máy này không vào họp được.",
        do="Tên trong province.yaml (`upstream.meeting`) đã đúng chưa? Nếu đúng, báo cho tỉnh.",
    ),
)
BLOCKED = Cause(
    "meeting.blocked",
    english=Words(
        what="A firewall does not let {machine} through to {host}, port {port} ({service}).",
        why="Nobody gets into a meeting from here.",
        do="Of the commune's own firewalls `apply` sets the rules right; beyond them it is the province's or the "
        "provider's.",
    ),
    vietnamese=Words(
        what="Tường lửa không cho máy {machine} tới {host}, cổng {port} ({service}).",
        why="Từ máy này không vào họp được.",
        do="Tường lửa của xã: chạy `apply` cho thiết bị cổng mạng và máy này. Vẫn vậy thì báo tỉnh hoặc nhà mạng.",
    ),
    command="lienxa apply {commune} --role network --role firewall",
)
CLOSED = Cause(
    "meeting.closed",
    english=Words(
        what="{host} does not answer {machine} on port {port} ({service}).",
        why="Nobody gets into a meeting from here.",
        do="Try it from another network, a phone's. If it is down there too, tell the province.",
    ),
    vietnamese=Words(
        what="{host} không trả lời máy {machine} ở cổng {port} ({service}).",
        why="Từ máy này không vào họp được.",
        do="Thử bằng mạng khác, ví dụ điện thoại. Nếu cũng không vào được, báo cho tỉnh.",
    ),
)
NOT_BELIEVED = Cause(
    "meeting.certificate",
    english=Words(
        what="{machine} does not believe the certificate of {host} ({service}): {reason}.",
        why="The browser refuses the page, and there is no way past: it may be somebody else who answers.",
        do="Is the province's authority in `upstream.trust_anchors`? Then tell the province.",
    ),
    vietnamese=Words(
        what="Máy {machine} không tin chứng thư của {host} ({service}): {reason}.",
        why="Trình duyệt từ chối mở trang và không cho bỏ qua: có thể ai đó giả mạo dịch vụ.",
        do="Nơi cấp chứng thư của tỉnh đã có trong `upstream.trust_anchors` chưa? Có rồi thì báo cho tỉnh.",
    ),
)
NO_CAMERA = Cause(
    "meeting.no_camera",
    english=Words(
        what="{machine} has no camera.",
        why="The others see nobody.",
        do="Plug it into another port of the machine itself, not of the screen; has it a shutter or a switch?",
    ),
    vietnamese=Words(
        what="Máy {machine} không có camera.",
        why="Người khác không thấy hình.",
        do="Cắm camera vào cổng khác trên thân máy, không cắm vào màn hình; camera có nắp che hoặc công tắc không?",
    ),
)
NO_SOUND = Cause(
    "meeting.no_sound",
    english=Words(
        what="{machine} has no microphone and no loudspeaker.",
        why="Nobody here hears the others or is heard.",
        do="Plug the conference set into another port of the machine itself; is it switched on?",
    ),
    vietnamese=Words(
        what="Máy {machine} không có micrô và loa.",
        why="Không nghe được và không nói được trong cuộc họp.",
        do="Cắm thiết bị âm thanh vào cổng khác trên thân máy; thiết bị đã bật chưa?",
    ),
)
SIP_DOWN = Cause(
    "meeting.sip_down",
    english=Words(
        what="The telephone of {machine} (SIP) does not run.",
        why="The province cannot call the room.",
        do=f"`apply` starts it; if it does not stay up, {_PHONE_LOG} says why.",
    ),
    vietnamese=Words(
        what="Điện thoại hội nghị (SIP) của máy {machine} không chạy.",
        why="Tỉnh không gọi được cho phòng họp.",
        do="Lệnh `apply` khởi động lại; nếu vẫn dừng, xem `journalctl -u lienxa-sip -n 30` trên {machine}.",
    ),
    command=_APPLY,
)
SIP_REFUSED = Cause(
    "meeting.sip_refused",
    english=Words(
        what="{registrar} refuses to register {account}, the account of {machine}.",
        why="The province cannot call the room.",
        do="Ask the province whether the account is open and what its password is; set it with "
        "`lienxa secrets set {commune} video_client.sip_{account}`, then apply.",
    ),
    vietnamese=Words(
        what="{registrar} từ chối đăng ký {account}, tài khoản của máy {machine}.",
        why="Tỉnh không gọi được cho phòng họp.",
        do="Hỏi tỉnh tài khoản đã mở chưa và mật khẩu là gì; ghi bằng lệnh `lienxa secrets set {commune} "
        "video_client.sip_{account}` rồi `apply`.",
    ),
    command=_APPLY,
)
SIP_SILENT = Cause(
    "meeting.sip_silent",
    english=Words(
        what="The telephone of {machine} gets no answer from {registrar}: {reason}.",
        why="The province cannot call the room.",
        do=f"No name, closed: tell the province. Not believed: is its authority in `upstream.trust_anchors`? "
        f"{_PHONE_LOG} says more.",
    ),
    vietnamese=Words(
        what="Điện thoại hội nghị của máy {machine} không được {registrar} trả lời: {reason}.",
        why="Tỉnh không gọi được cho phòng họp.",
        do="Không có tên hoặc không trả lời: báo cho tỉnh. Chứng thư không được tin: nơi cấp chứng thư của tỉnh đã "
        "có trong `upstream.trust_anchors` chưa?",
    ),
)


@dataclass(frozen=True)
class Reached:
    """How far a machine came with a server of the province's."""

    host: str
    port: int
    outcome: Outcome = "good"
    reason: str = ""


@dataclass(frozen=True)
class Seen:
    """What a machine sees of meetings."""

    policy: bool
    """Whether Chromium is told what it should be."""
    service: Reached | None
    camera: bool
    sound: bool
    telephone: Telephone = "registered"
    registrar: Reached | None = None
    """Where the telephone gets no answer."""


def diagnose(patient: Patient[Options]) -> Iterator[Found]:
    """What is wrong."""
    if patient.site.upstream.meeting is not None:
        yield from judged(patient, look(patient))


def judged(patient: Patient[Options], seen: Seen) -> Iterator[Found]:
    """Which cause it is: of the way to somebody only where the network is good. Pure."""
    service = patient.site.upstream.meeting
    assert service is not None
    if not seen.policy:
        yield POLICY_MISSING.found(service=service.title, file=POLICY)
    # Where the portal is kept from this machine in the same way it is one wall, and it has been told of.
    walls = {f"portal.{wall}" for wall in ("blocked", "closed") if seen.service and seen.service.outcome == wall}
    if patient.connected and seen.service and not walls & patient.ill:
        yield from _of_service(service, seen.service)
    # A machine without a camera is a fault only to who asks about meetings.
    if TOPIC in patient.asked:
        yield from (
            cause.found() for cause, is_there in ((NO_CAMERA, seen.camera), (NO_SOUND, seen.sound)) if not is_there
        )
    yield from _of_telephone(patient, seen)


def _of_service(service: SiteMeetingService, one: Reached) -> Iterator[Found]:
    where = {"service": service.title, "host": one.host, "port": one.port}
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


def _of_telephone(patient: Patient[Options], seen: Seen) -> Iterator[Found]:
    service = patient.site.upstream.sip
    if service is None:
        return
    match seen.telephone:
        case "does not run":
            yield SIP_DOWN.found()
        case "refused":
            yield SIP_REFUSED.found(registrar=service.registrar, account=patient.machine.sip)
        case "no answer" if patient.connected:
            yield SIP_SILENT.found(registrar=service.registrar, reason=_why(seen.registrar))
        case _:
            return


def _why(registrar: Reached | None) -> str:
    if registrar is None or registrar.outcome == "good":
        return "it does not say why"
    return registrar.reason or registrar.outcome


def look(patient: Patient[Options]) -> Seen:
    """Read what Chromium is told, knock at the service as a browser does, ask the telephone; nobody is called."""
    site, machine = patient.site, patient.machine
    service = site.upstream.meeting
    assert service is not None
    telephone = _telephone() if sip.service_of(site, machine) else "registered"
    return Seen(
        policy=read_json(POLICY) == policies(service, lobby=lobby.wanted(site, machine, patient.options)),
        service=_service(service) if patient.connected else None,
        camera=bool(list(Path("/dev").glob("video*"))),
        sound=_has_sound(),
        telephone=telephone,
        registrar=_registrar(patient) if telephone == "no answer" and patient.connected else None,
    )


def _service(service: SiteMeetingService) -> Reached:
    parts = urlsplit(service.url)
    return _reach(parts.hostname or "", parts.port or HTTPS)


def _registrar(patient: Patient[Options]) -> Reached | None:
    """Only over TLS can one knock without a word of SIP."""
    service = patient.site.upstream.sip
    if service is None or service.transport != "tls":
        return None
    return _reach(service.registrar, service.port or sip.TLS_PORT)


def _reach(host: str, port: int) -> Reached:
    found = knock(host, port)
    return Reached(host, port, found.outcome, found.reason)


def _telephone() -> Telephone:
    end = time.monotonic() + REGISTERED_SECONDS
    while (state := _state()) in {"no answer", "does not run"} and time.monotonic() < end:
        time.sleep(0.5)
    return state


def _state() -> Telephone:
    try:
        said = subprocess.run([sip.PROGRAM, "status"], capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "does not run"
    if said.returncode == 0:
        return "registered"
    if not said.stdout:
        return "does not run"
    return "refused" if "refused to register" in said.stdout else "no answer"


def _has_sound() -> bool:
    try:
        return "no soundcards" not in Path(SOUND_CARDS).read_text(encoding="utf-8")
    except OSError:
        return False
