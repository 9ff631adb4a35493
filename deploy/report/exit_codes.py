"""What the command ends with; docs and `--help` say the same."""

DONE = 0
FAILED = 1
"""A change or a check failed."""
BAD_INPUT = 2
UNREACHABLE = 3
"""A machine was out of reach to the end, and nothing else is wrong."""
INTERRUPTED = 130
"""By the user; as a shell reports SIGINT."""
