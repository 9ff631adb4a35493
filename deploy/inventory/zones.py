"""What a zone is for."""

from __future__ import annotations

from deploy.inventory.role import Purpose

NAMED_AFTER = {
    "server": Purpose.SERVER,
    "management": Purpose.MANAGEMENT,
    "wireless": Purpose.WIRELESS,
    "dmz": Purpose.DMZ,
}


def purpose_of(name: str, purpose: Purpose | None, *, guest: bool) -> Purpose:
    """What a zone is for: as written, else from its name."""
    if guest:
        return Purpose.GUEST
    return purpose or NAMED_AFTER.get(name, Purpose.INTERNAL)
