"""Each cause alone is named alone; a healthy machine is said nothing of."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.report.doctor_signing import Certificate, Module, Observed, Service, Token, diagnose

NOW = datetime(2026, 11, 27, 8, 0, tzinfo=UTC)
YEAR = timedelta(days=365)
OWNER = "Nguyễn Văn Mẫu"
CERTIFICATE = Certificate(owner=OWNER, issuer="Cấp Phát Ký Số G2", begins=NOW - YEAR, ends=NOW + YEAR, may_sign=True)
TOKEN = Token(label="Token", certificates=(CERTIFICATE,))
MODULE = Module(name="bit4id")
HEALTHY = Observed(
    now=NOW,
    person=OWNER,
    readers=1,
    cards=1,
    modules=(MODULE,),
    tokens=(TOKEN,),
    services=(Service(name="http://crl.example/g2.crl", seconds=0.3),),
)


def with_certificate(**changes: Any) -> dict[str, Any]:
    return {"tokens": (TOKEN.model_copy(update={"certificates": (CERTIFICATE.model_copy(update=changes),)}),)}


def with_module(**changes: Any) -> dict[str, Any]:
    return {"modules": (MODULE.model_copy(update=changes),), "tokens": ()}


CAUSES: dict[str, dict[str, Any]] = {
    "service-down": {"serving": False, "readers": 0, "cards": 0, "tokens": ()},
    "no-reader": {"readers": 0, "cards": 0, "tokens": ()},
    "no-token": {"cards": 0, "tokens": ()},
    "module-missing": {"modules": (), "tokens": ()},
    "module-unregistered": with_module(registered=False, loads=False),
    "module-broken": with_module(loads=False),
    "module-architecture": with_module(architecture=False, loads=False),
    "pin-locked": {"tokens": (TOKEN.model_copy(update={"pin": "locked"}),)},
    "pin-last-try": {"tokens": (TOKEN.model_copy(update={"pin": "last try"}),)},
    "pin-never-set": {"tokens": (TOKEN.model_copy(update={"pin": "never set"}),)},
    "no-certificate": {"tokens": (Token(label="Token"),)},
    "expired": with_certificate(ends=NOW),
    "not-yet-valid": with_certificate(begins=NOW + timedelta(days=1)),
    "ends-soon": with_certificate(ends=NOW + timedelta(days=7)),
    "revoked": with_certificate(revoked=True, ends=NOW + timedelta(days=7)),
    "another-person": {"person": "Trần Thị Ví Dụ"},
    "wrong-usage": with_certificate(may_sign=False),
    "issuer-missing": with_certificate(chain="issuer missing"),
    "anchor-missing": with_certificate(chain="anchor missing"),
    "anchor-old": with_certificate(chain="anchor old"),
    "clock": {"clock": -2.5},
    "policy-missing": {"policies": ("Firefox",)},
    "service-unreached": {"services": (Service(name="TSA", reached=False),)},
    "service-slow": {"services": (Service(name="TSA", seconds=9.0),)},
}


def test_a_healthy_machine_is_said_nothing_of() -> None:
    assert diagnose(HEALTHY) == ()


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_alone_is_named_alone(cause: str) -> None:
    found = diagnose(HEALTHY.model_copy(update=CAUSES[cause]))
    assert [one.cause for one in found] == [cause]
    assert found[0].said("en") == found[0].en
    assert re.search("[ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệịỉĩọỏốồổỗộớờởỡợụủũứừửữựỳỵỷỹ]", found[0].said("vi"))


def test_two_tokens_are_looked_at_each() -> None:
    other = TOKEN.model_copy(update={"label": "Token 2", "pin": "last try"})
    found = diagnose(HEALTHY.model_copy(update={"tokens": (TOKEN, other), "clock": 60.0}))
    assert [one.cause for one in found] == ["pin-last-try", "clock"]
    assert "Token 2" in found[0].en


def test_what_hides_behind_a_service_that_is_down_is_not_guessed_at() -> None:
    found = diagnose(Observed(now=NOW, serving=False))
    assert [one.cause for one in found] == ["service-down"]
