"""Proves the role `firewall`. That packets are let in or refused is shown by probes from the other machines."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

from deploy.runner.operations.netfilter import SAME, difference_script
from roles.firewall import tasks


@pytest.mark.next_step("Someone changed the rules by hand; `nft list table inet lienxa` shows what is loaded.")
def test_loaded_rules_are_those_of_the_file(host: Host) -> None:
    """The rules that {machine} follows are those of its inventory."""
    said = host.check_output(difference_script(tasks.RULES, tasks.TABLE))
    assert said == SAME, said


def test_refuses_by_default(host: Host) -> None:
    """{machine} refuses what no role opens."""
    table = json.loads(host.check_output("nft -j list table inet lienxa"))["nftables"]
    policies = {row["chain"]["name"]: row["chain"].get("policy") for row in table if "chain" in row}
    assert policies["input"] == "drop"
