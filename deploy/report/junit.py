"""JUnit XML, for CI: one suite per machine, one case per check, named by its sentence."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from deploy.inventory.site import Site
from deploy.journal import CheckEnded
from deploy.report.picture import MachineRun, Picture
from deploy.report.trouble import plain, trouble


def junit_xml(site: Site, picture: Picture) -> str:
    """The document as text. A machine whose run did not end adds a case of its own, an error."""
    commune = site.commune.slug
    suites = [_suite(commune, machine) for machine in picture.machines.values()]
    root = Xml.Element("testsuites", name=f"lienxa verify {commune}")
    for count in ("tests", "failures", "errors", "skipped"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in suites)))
    # Machines are verified side by side: what somebody waited for is the slowest.
    root.set("time", f"{max((float(suite.get('time', '0')) for suite in suites), default=0.0):.3f}")
    root.extend(suites)
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _suite(commune: str, machine: MachineRun) -> Xml.Element:
    suite = Xml.Element("testsuite", name=machine.name, hostname=machine.name)
    _properties(suite, machine)
    for check in machine.checks:
        suite.append(_case(commune, machine.name, check))
    ended = trouble(machine)
    if ended:
        case = Xml.SubElement(
            suite, "testcase", classname=f"{commune}.{machine.name}", name="The run got to its end."
        )
        _verdict(case, "error", ended.message, ended.output, ended.next_step)
    for count, tag in (
        ("tests", "testcase"),
        ("failures", ".//failure"),
        ("errors", ".//error"),
        ("skipped", ".//skipped"),
    ):
        suite.set(count, str(len(suite.findall(tag))))
    seconds = machine.ended.seconds if machine.ended else sum(check.seconds for check in machine.checks)
    suite.set("time", f"{seconds:.3f}")
    return suite


def _properties(suite: Xml.Element, machine: MachineRun) -> None:
    started = machine.started
    if started is None:
        return
    suite.set("timestamp", started.at)
    properties = Xml.SubElement(suite, "properties")
    clean = {True: "yes", False: "no", None: "unknown"}[started.clean]
    for name, value in (
        ("run", started.run),
        ("by", started.by),
        ("commit", started.commit or "none"),
        ("clean", clean),
        ("debian", started.debian),
        ("order", started.order),
    ):
        Xml.SubElement(properties, "property", name=name, value=plain(value))


def _case(commune: str, machine: str, check: CheckEnded) -> Xml.Element:
    case = Xml.Element("testcase", classname=f"{commune}.{machine}.{check.role}", name=plain(check.sentence))
    case.set("time", f"{check.seconds:.3f}")
    if check.status == "skipped":
        Xml.SubElement(case, "skipped", message=plain(check.detail))
    elif check.status != "passed":
        tag = "failure" if check.status == "failed" else "error"
        _verdict(case, tag, check.detail or check.sentence, check.detail, check.next_step, f"Check: {check.id}")
    return case


def _verdict(case: Xml.Element, tag: str, message: str, detail: str, next_step: str, id_: str = "") -> None:
    first = plain(message).strip().partition("\n")[0]
    verdict = Xml.SubElement(case, tag, message=f"{first} — {plain(next_step)}" if next_step else first)
    verdict.text = plain("\n".join(filter(None, [detail, next_step and f"Next: {next_step}", id_])))
