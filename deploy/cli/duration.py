"""A length of time as an argument: `90s`, `20m`, `1h`."""

from __future__ import annotations

import re

import click

_UNITS = {"s": 1, "m": 60, "h": 3600}


class Duration(click.ParamType[float]):
    """Seconds, written with their unit."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse it; what is no length of time is refused with what is allowed."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+)([smh])", str(value))
        if match is None or int(match[1]) == 0:
            self.fail(f"{value!r} is no length of time; write 90s, 20m or 1h.", param, ctx)
        return float(int(match[1]) * _UNITS[match[2]])
