"""The reports that are written to files: JUnit for CI, one HTML page for people."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as Xml

from deploy.fleet.updates import State, Update
from deploy.journal import CheckEnded, OperationError, RunEnded, RunStarted
from deploy.report.html import html_page
from deploy.report.junit import junit_xml
from deploy.report.picture import Picture
from tests.unit.verify_data import site

UNIT = "gw1: unit unbound (resolver of the commune) is enabled and running."


def started(machine: str) -> RunStarted:
    return RunStarted(
        seq=0,
        at="2026-11-24T22:03:27.120Z",
        run="20261124T220327417-9f3c",
        machine=machine,
        action="verify",
        by="Nguyễn Văn Mẫu@laptop",
        commit="4283fd5a7f0e4283fd5a7f0e",
        clean=False,
        order="ab" * 32,
        debian="13.1",
        python="3.13.5",
    )


def check(id_: str, sentence: str, status: str, **more: object) -> CheckEnded:
    values = {"seq": 1, "at": "2026-11-24T22:03:28.120Z", "role": "network", "seconds": 0.25, **more}
    return CheckEnded.model_validate({"id": id_, "sentence": sentence, "status": status, **values})


def ended(status: str, error: OperationError | None = None) -> RunEnded:
    return RunEnded.model_validate(
        {"seq": 9, "at": "2026-11-24T22:03:40.120Z", "status": status, "seconds": 12.5, "error": error}
    )


def red_picture() -> Picture:
    picture = Picture(["gw1", "srv1", "vp01"])
    events = [
        started("gw1"),
        check("package:unbound", "gw1: package unbound is installed.", "passed"),
        check(
            "unit:unbound",
            UNIT,
            "failed",
            detail="it is inactive (dead)\x1b[0m\x00 <b>&",
            next_step="On gw1: `systemctl status unbound & ls`",
        ),
        check("port:udp/53", "gw1: udp port 53 is listened on: DNS.", "skipped", detail=f"because: {UNIT}"),
        check("network.test_x", "gw1 <script>alert(1)</script> is so.", "error", detail="KeyError: 'x'"),
        ended("failed"),
    ]
    for event in events:
        picture(Update("gw1", State.RUNNING, event))
    picture(Update("gw1", State.FAILED, message="2 checks failed"))
    picture(Update("srv1", State.UNREACHABLE, message="no answer at 10.52.0.10: is it on?"))
    picture(Update("vp01", State.RUNNING, started("vp01")))
    broke = OperationError(message="the journal cannot be written", output="disk full", next_step="Make room.")
    picture(Update("vp01", State.RUNNING, ended("failed", broke)))
    picture(Update("vp01", State.FAILED))
    return picture


def green_picture() -> Picture:
    picture = Picture(["gw1"])
    for event in (started("gw1"), check("unit:unbound", UNIT, "passed"), ended("done")):
        picture(Update("gw1", State.DONE, event))
    return picture


def test_junit_counts_and_says_what_to_do() -> None:
    root = Xml.fromstring(junit_xml(site(), red_picture()))
    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "6",
        "failures": "1",
        "errors": "3",
        "skipped": "1",
        "time": "12.500",
    }
    gateway, server, office = root.findall("testsuite")
    assert [gateway.get("name"), gateway.get("tests"), gateway.get("failures")] == ["gw1", "4", "1"]
    failed = gateway.find(f"testcase[@name='{UNIT}']")
    assert failed is not None
    assert (failed.get("classname"), failed.get("time")) == ("xa-mau.gw1.network", "0.250")
    failure = failed.find("failure")
    assert failure is not None
    assert failure.get("message") == "it is inactive (dead) <b>& — On gw1: `systemctl status unbound & ls`"
    assert (
        failure.text
        == "it is inactive (dead) <b>&\nNext: On gw1: `systemctl status unbound & ls`\nCheck: unit:unbound"
    )
    skipped = gateway.find(".//skipped")
    assert skipped is not None
    assert skipped.get("message") == f"because: {UNIT}"
    properties = {p.get("name"): p.get("value") for p in gateway.iter("property")}
    assert properties["by"] == "Nguyễn Văn Mẫu@laptop"
    assert properties["clean"] == "no"
    assert [error.get("message") for error in server.iter("error")] == ["no answer at 10.52.0.10: is it on?"]
    assert [error.text for error in office.iter("error")] == ["disk full\nNext: Make room."]


class Page(HTMLParser):
    """Collects the text, and every address from which a browser would load something."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text = ""
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self._quiet = False
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._quiet = tag == "style"
        self.loaded += [
            value or "" for key, value in attrs if key in {"src", "href"} and not (value or "").startswith("#")
        ]

    def handle_endtag(self, tag: str) -> None:
        self._quiet = False

    def handle_data(self, data: str) -> None:
        if not self._quiet:
            self.text = " ".join(f"{self.text} {data}".split())


def test_the_page_says_first_what_is_wrong_and_what_to_do() -> None:
    source = html_page(site(), red_picture())
    page = Page(source)
    assert "Xã Mẫu, Gia Lai: what was verified" in page.text
    assert "2 of 4 checks failed, on gw1; not looked at to the end: srv1, vp01." in page.text
    for said in (
        UNIT,
        "it is inactive (dead) <b>&",
        "Next: On gw1: systemctl status unbound & ls gw1 · network",
        "srv1: no answer at 10.52.0.10: is it on?",
        "vp01: the journal cannot be written",
        "Make room.",
        f"because: {UNIT}",
        "Nguyễn Văn Mẫu@laptop",
        "4283fd5a7f0e with changes not committed",
        "2026-11-24 22:03 UTC",
    ):
        assert said in page.text, said
    order = [
        page.text.index(title) for title in ("What is wrong", "What could not be looked at", "Everything that was")
    ]
    assert order == sorted(order)


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    source = html_page(site(), red_picture())
    page = Page(source)
    assert page.loaded == []
    assert "script" not in page.tags
    assert "On gw1: <code>systemctl status unbound &amp; ls</code>" in source
    assert "gw1 <script>alert(1)</script> is so." in page.text
    assert not re.search(r"url\(|@import|[\x00\x1b]", source)


def test_a_green_page_is_short() -> None:
    page = Page(html_page(site(), green_picture()))
    assert "✓ All 1 check passed." in page.text
    assert "What is wrong" not in page.text
    assert "What could not be looked at" not in page.text


def test_a_page_of_a_commune_that_nobody_reached() -> None:
    picture = Picture(["gw1"])
    picture(Update("gw1", State.UNREACHABLE))
    page = Page(html_page(site(), picture))
    assert "no machine was reached" in page.text
    assert "gw1: it was out of reach to the end" in page.text
