"""What is wrong with signing at a machine, from what was seen there: pure rules, one cause each, for people.

Whoever looks (on the machine) only says what is so; which of it is the cause, why it matters and what to do about it
is decided here. A cause that explains others hides them: no service, then no reader; no reader, then no token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Literal

from deploy.inventory.site import Frozen

Language = Literal["vi", "en"]
CLOCK_SECONDS, SLOW_SECONDS = 2.0, 5.0
ENDS_SOON = timedelta(days=30)


class Certificate(Frozen):
    """A certificate on a token, as far as its use depends on it."""

    owner: str
    """Common name of its subject."""
    issuer: str
    begins: datetime
    ends: datetime
    may_sign: bool
    """Whether its key usage lets it sign documents (digitalSignature or nonRepudiation)."""
    revoked: bool = False
    chain: Literal["whole", "issuer missing", "anchor missing", "anchor old"] = "whole"
    """How far it leads: to an authority that is believed in, nowhere, or to one that has ended."""


class Token(Frozen):
    """A token that some module shows."""

    label: str
    pin: Literal["fine", "last try", "locked", "never set"] = "fine"
    certificates: tuple[Certificate, ...] = ()


class Module(Frozen):
    """A vendor's module that the inventory gives the machine."""

    name: str
    registered: bool = True
    loads: bool = True
    architecture: bool = True
    """Whether it is for this machine's processor."""


class Service(Frozen):
    """Something on the network that signing needs: a revocation list, a time-stamp service."""

    name: str
    reached: bool = True
    seconds: float = 0.0
    """Until it answered."""


class Observed(Frozen):
    """All that was seen, at one moment."""

    now: datetime
    """By the laptop's clock."""
    person: str = ""
    """Full name of who has the trouble; empty: not asked for."""
    serving: bool = True
    """Whether pcscd answers."""
    readers: int = 0
    cards: int = 0
    """Cards and tokens that readers report, known to a module or not."""
    modules: tuple[Module, ...] = ()
    tokens: tuple[Token, ...] = ()
    clock: float = 0.0
    """Seconds that the machine's clock is ahead."""
    policies: tuple[str, ...] = ()
    """Programs that lack the policy which shows them tokens: `Firefox`, `Chromium`."""
    services: tuple[Service, ...] = ()


class Finding(Frozen):
    """A cause: what is wrong, why it matters, what to do."""

    cause: str
    """Stable, for programs: `no-reader`, `pin-locked`, …"""
    vi: str
    en: str

    def said(self, language: Language) -> str:
        """The sentence for people."""
        return self.vi if language == "vi" else self.en


def diagnose(seen: Observed) -> tuple[Finding, ...]:
    """Every cause, the one to begin with first; () where signing has all that it needs."""
    return tuple(finding for rule in _RULES for finding in rule(seen))


def _service(seen: Observed) -> Iterator[Finding]:
    if not seen.serving:
        yield Finding(
            cause="service-down",
            vi="Dịch vụ đầu đọc thẻ (pcscd) không chạy nên không chương trình nào thấy thiết bị ký số. "
            "Hãy áp dụng lại vai trò signing: lienxa apply … --role signing.",
            en="The readers' service (pcscd) does not run, so no program sees a token. Apply the role again: "
            "lienxa apply … --role signing.",
        )


def _modules(seen: Observed) -> Iterator[Finding]:
    for one in seen.modules:
        if not one.architecture:
            yield Finding(
                cause="module-architecture",
                vi=f"Thư viện của {one.name} dành cho loại bộ xử lý khác. Hãy xin nhà cung cấp bản đúng và ghi vào "
                "upstream.modules trong province.yaml.",
                en=f"The module of {one.name} is for another kind of processor. Ask the vendor for the right one and "
                "write it into upstream.modules of province.yaml.",
            )
        elif not one.registered or not one.loads:
            yield Finding(
                cause="module-broken" if one.registered else "module-unregistered",
                vi=f"Thư viện của {one.name} có trên máy nhưng các chương trình không nạp được. Hãy áp dụng lại: "
                "lienxa apply … --role signing.",
                en=f"The module of {one.name} is on the machine but programs do not load it. Apply the role again: "
                "lienxa apply … --role signing.",
            )


def _devices(seen: Observed) -> Iterator[Finding]:
    if not seen.serving or seen.tokens:
        return
    if seen.cards:
        if all(one.registered and one.loads and one.architecture for one in seen.modules):
            yield Finding(
                cause="module-missing",
                vi="Có thiết bị ký số đang cắm nhưng máy không có thư viện của nhà cung cấp. Hãy ghi thư viện vào "
                "upstream.modules trong province.yaml rồi áp dụng.",
                en="A token is plugged in, but the module of its vendor is not on the machine. Write it into "
                "upstream.modules of province.yaml and apply.",
            )
    elif seen.readers:
        yield Finding(
            cause="no-token",
            vi="Đầu đọc không có thẻ. Hãy cắm thẻ vào, mặt có chip hướng lên trên.",
            en="There is no card in the reader. Put it in, its chip up.",
        )
    else:
        yield Finding(
            cause="no-reader",
            vi="Máy không thấy thiết bị ký số hay đầu đọc nào. Hãy rút ra, cắm lại vào cổng USB khác.",
            en="The machine sees no token and no reader. Pull it out and plug it into another USB port.",
        )


def _pins(seen: Observed) -> Iterator[Finding]:
    for one in seen.tokens:
        if one.pin == "locked":
            yield Finding(
                cause="pin-locked",
                vi=f"Mã PIN của thiết bị {one.label} đã bị khóa. Chỉ đơn vị cấp chứng thư mới mở khóa được.",
                en=f"The PIN of {one.label} is locked. Only who issued it can unlock it.",
            )
        elif one.pin == "last try":
            yield Finding(
                cause="pin-last-try",
                vi=f"Thiết bị {one.label} chỉ còn một lần nhập mã PIN. Đừng nhập khi chưa chắc chắn: sai là bị khóa.",
                en=f"{one.label} has one try of the PIN left. Type it only if you are sure: a wrong one locks it.",
            )
        elif one.pin == "never set":
            yield Finding(
                cause="pin-never-set",
                vi=f"Thiết bị {one.label} chưa có mã PIN. Hãy đặt mã PIN bằng chương trình của nhà cung cấp.",
                en=f"{one.label} has no PIN yet. Set one with the vendor's program.",
            )


def _certificates(seen: Observed) -> Iterator[Finding]:
    for token in seen.tokens:
        if not token.certificates:
            yield Finding(
                cause="no-certificate",
                vi=f"Trên thiết bị {token.label} không có chứng thư nào. Hãy liên hệ đơn vị cấp chứng thư.",
                en=f"There is no certificate on {token.label}. Ask who issued it.",
            )
        for one in token.certificates:
            yield from _certificate(seen, one)


def _certificate(seen: Observed, one: Certificate) -> Iterator[Finding]:
    renew_vi, renew_en = "Hãy xin cấp lại chứng thư.", "Ask for a new one."
    if one.revoked:
        yield Finding(
            cause="revoked",
            vi=f"Chứng thư của {one.owner} đã bị thu hồi; chữ ký sẽ bị từ chối. {renew_vi}",
            en=f"The certificate of {one.owner} is revoked; signatures will be refused. {renew_en}",
        )
    elif seen.now >= one.ends:
        yield Finding(
            cause="expired",
            vi=f"Chứng thư của {one.owner} đã hết hạn ngày {one.ends:%d/%m/%Y}. {renew_vi}",
            en=f"The certificate of {one.owner} ended on {one.ends:%Y-%m-%d}. {renew_en}",
        )
    elif seen.now < one.begins:
        yield Finding(
            cause="not-yet-valid",
            vi=f"Chứng thư của {one.owner} chỉ có hiệu lực từ ngày {one.begins:%d/%m/%Y}. Hãy đợi đến ngày đó.",
            en=f"The certificate of {one.owner} is valid from {one.begins:%Y-%m-%d} on only. Wait until then.",
        )
    elif one.ends - seen.now < ENDS_SOON:
        yield Finding(
            cause="ends-soon",
            vi=f"Chứng thư của {one.owner} sắp hết hạn (ngày {one.ends:%d/%m/%Y}). {renew_vi}",
            en=f"The certificate of {one.owner} ends on {one.ends:%Y-%m-%d}. {renew_en}",
        )
    if not one.may_sign:
        yield Finding(
            cause="wrong-usage",
            vi=f"Chứng thư của {one.owner} không được phép dùng để ký. Hãy dùng chứng thư ký số.",
            en=f"The certificate of {one.owner} is not for signing. Use the one that is.",
        )
    if seen.person and one.owner != seen.person:
        yield Finding(
            cause="another-person",
            vi=f"Chứng thư đang cắm là của {one.owner}, không phải của {seen.person}. Hãy cắm đúng thiết bị.",
            en=f"The certificate is {one.owner}'s, not {seen.person}'s. Plug in the right token.",
        )
    yield from _chain(one)


def _chain(one: Certificate) -> Iterator[Finding]:
    if one.chain == "whole":
        return
    write_vi = "Hãy ghi chứng thư đó vào upstream.trust_anchors trong province.yaml rồi áp dụng."
    write_en = "Write it into upstream.trust_anchors of province.yaml and apply."
    what = {
        "issuer missing": (
            f"Máy không có chứng thư của nơi cấp ({one.issuer}) nên chuỗi tin cậy bị đứt.",
            f"The machine lacks the certificate of who issued it ({one.issuer}), so the chain is broken.",
        ),
        "anchor missing": (
            f"Máy không tin chứng thư gốc của {one.issuer}.",
            f"The machine does not believe in the root of {one.issuer}.",
        ),
        "anchor old": (
            f"Chứng thư gốc của {one.issuer} trên máy là thế hệ cũ.",
            f"The root of {one.issuer} on the machine is of an old generation.",
        ),
    }[one.chain]
    yield Finding(cause=one.chain.replace(" ", "-"), vi=f"{what[0]} {write_vi}", en=f"{what[1]} {write_en}")


def _around(seen: Observed) -> Iterator[Finding]:
    if abs(seen.clock) > CLOCK_SECONDS:
        number = f"{abs(seen.clock):.0f}"
        yield Finding(
            cause="clock",
            vi=f"Đồng hồ của máy lệch {number} giây; chữ ký sẽ mang giờ sai. Hãy kiểm tra: chronyc tracking.",
            en=f"The machine's clock is {number} s off; signatures would bear a wrong time. Look: chronyc tracking.",
        )
    for program in seen.policies:
        yield Finding(
            cause="policy-missing",
            vi=f"{program} chưa được cấu hình để thấy thiết bị ký số. Hãy áp dụng lại: lienxa apply ….",
            en=f"{program} is not told of tokens. Apply again: lienxa apply ….",
        )
    for one in seen.services:
        if not one.reached:
            yield Finding(
                cause="service-unreached",
                vi=f"Không kết nối được tới {one.name}; chữ ký không kiểm tra được. Hãy kiểm tra đường truyền.",
                en=f"{one.name} is out of reach; signatures cannot be checked. Look at the line.",
            )
        elif one.seconds > SLOW_SECONDS:
            yield Finding(
                cause="service-slow",
                vi=f"{one.name} trả lời chậm ({one.seconds:.0f} giây); việc ký có thể bị ngắt giữa chừng.",
                en=f"{one.name} answers slowly ({one.seconds:.0f} s); signing may be cut off in the middle.",
            )


_RULES: tuple[Callable[[Observed], Iterator[Finding]], ...] = (
    _service,
    _modules,
    _devices,
    _pins,
    _certificates,
    _around,
)
