"""The errors that are the user's to mend: said in plain words, without a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Something outside lienxa has to be put right; the command ends with exit code 2.

    The text says what is wrong (file and line, or machine), what is allowed, and the next step.
    """


class LabError(RuntimeError):
    """The lab cannot do what was asked; the message says what is wrong and the next step."""
