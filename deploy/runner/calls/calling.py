"""One call test: the browser goes into the service's echo room, stays for a while, and its figures are judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import Protocol

from deploy.journal import Call, Verdict
from deploy.order import CallTest, Request
from deploy.runner.calls.browser import PROGRAM, BrowserError, Page, browser, has_devices
from deploy.runner.calls.figures import Sample, path, round_trips, way
from deploy.runner.calls.judging import Judged, judge, verdict
from deploy.runner.calls.load import filled
from deploy.runner.check_result import CheckResult, Ledger, apply_again
from deploy.runner.check_result import Journal as Checks
from deploy.runner.journal_writer import Counts

ROLE = "video_client"
JOIN_SECONDS = 30.0
"""How long media is waited for; whether that was too long is judged apart."""
SETTLE_SECONDS = 5.0
"""What a call takes to find its rate."""
FILL_SECONDS = 15.0
"""What transfers take to fill the line and to find its rate: they begin by sending more and more at once."""
_SPARE_SECONDS = 120.0
"""For the browser's start and end."""


class Journal(Checks, Protocol):
    """What a call test needs of the journal's writer."""

    def call(self, call: Call, verdict: Verdict) -> None:
        """What a call was like."""


def run_call_test(request: Request, journal: Journal, folder: Path, stopped: Callable[[], bool]) -> Counts:
    """Call, measure, judge; every figure is a check.

    `folder`: of the run's own, for what the browser is given. `stopped`: whether somebody wants the call to end now.
    """
    meeting, call = request.order.site.upstream.meeting, request.call
    assert call is not None
    assert meeting is not None
    assert meeting.echo is not None
    ledger = Ledger(journal)
    ledger.role_started(ROLE)
    begun = time.monotonic()
    generated = not has_devices()
    try:
        samples = _called(meeting.echo, call, folder, stopped, generated=generated)
    except (BrowserError, OSError) as error:
        step = f"Is {PROGRAM} there and does it start? {apply_again(request, request.order.machine, ROLE)}."
        _tell(request, ledger, Judged("call.media", _FLOWS, "bad", str(error), step), time.monotonic() - begun)
        return ledger.counts
    last = samples[-1]
    if last["flowing"] is None:
        _tell(request, ledger, _silent(meeting.echo, last), time.monotonic() - begun)
        return ledger.counts
    made = _measured(samples, page=meeting.echo, generated=generated, loaded=call.transfers is not None)
    judged = list(judge(made))
    for one in judged:
        _tell(request, ledger, one, 0.0)
    journal.call(made, verdict(one.grade for one in judged))
    return ledger.counts


_FLOWS = "Sound and picture of {machine} go to the service and come back."


def _measured(samples: list[Sample], *, page: str, generated: bool, loaded: bool) -> Call:
    last, trips = samples[-1], round_trips(samples)
    return Call(
        page=page,
        generated=generated,
        loaded=loaded,
        seconds=round(last["at"] - samples[0]["at"], 1),
        begun_seconds=round(last["flowing"] - last["joining"], 2),
        page_seconds=round(last["flowing"], 2),
        round_trip_ms=trips[0],
        round_trip_slow_ms=trips[1],
        path=path(samples),
        up=way(samples, "up"),
        down=way(samples, "down"),
    )


def _called(url: str, call: CallTest, folder: Path, stopped: Callable[[], bool], *, generated: bool) -> list[Sample]:
    """What the page told: one sample where no media came, else one a second."""
    settle = FILL_SECONDS if call.transfers else SETTLE_SECONDS
    whole = JOIN_SECONDS + settle + call.seconds
    with browser(folder, whole + _SPARE_SECONDS, generated=generated) as opened, ExitStack() as stack:
        page = opened.page()
        page.before_its_scripts((files("deploy.runner.calls") / "watch.js").read_text(encoding="utf-8"))
        page.open(url)
        come = _waited(page, stopped)
        if come["flowing"] is None:
            return [come]
        if call.transfers:
            stack.enter_context(filled(call.transfers, settle + call.seconds))
        time.sleep(settle)
        return _watched(page, call.seconds, stopped)


def _waited(page: Page, stopped: Callable[[], bool]) -> Sample:
    until = time.monotonic() + JOIN_SECONDS
    while True:
        sample = _read(page)
        if sample["flowing"] is not None or time.monotonic() > until or stopped():
            return sample
        time.sleep(0.2)


def _watched(page: Page, seconds: float, stopped: Callable[[], bool]) -> list[Sample]:
    begun = time.monotonic()
    samples = [_read(page)]
    while (now := time.monotonic()) < begun + seconds and not stopped():
        time.sleep(min(1.0 - (now - begun) % 1.0, begun + seconds - now))
        samples.append(_read(page))
    return samples


def _read(page: Page) -> Sample:
    sample: Sample = page.ask("lienxaCall.read()")
    return sample


def _silent(url: str, last: Sample) -> Judged:
    sent, come = last["up"]["packets"], last["down"]["packets"]
    detail = f"in {JOIN_SECONDS:.0f} s {sent} packets went and {come} came"
    if not last["path"]:
        detail += ", for no way to the service was found"
    step = f"Open {url} in Chromium on {{machine}}: what does it say? Then `lienxa doctor {{commune}}{{lab}}`."
    return Judged("call.media", _FLOWS, "bad", detail, step)


def _tell(request: Request, ledger: Ledger, judged: Judged, seconds: float) -> None:
    site = request.order.site
    values = {
        "machine": request.order.machine,
        "commune": site.commune.slug,
        "lab": " --lab" if request.lab else "",
    }
    ledger.add(
        CheckResult(
            role=ROLE,
            id=judged.id,
            sentence=judged.sentence.format_map(values),
            status="failed" if judged.grade == "bad" else "passed",
            detail=judged.detail,
            next_step=judged.next_step.format_map(values),
            seconds=seconds,
        )
    )
