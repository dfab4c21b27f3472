"""What people type into a server's configuration."""

from policies.errors import BadInput

MOST = 65_536
"""Of any count: far above what one GPU holds, and low enough for the tables."""


def check_counts(**counts: int) -> None:
    """Each must be a whole number in [1, MOST]. Raises BadInput."""
    for name, value in counts.items():
        if not 1 <= value <= MOST:
            raise BadInput(f"{name}: was {value}, must be a whole number in [1, {MOST}]; give at least 1")


def check_durations(**values: int) -> None:
    """Each must be a whole number, 0 or more, as the server's own configuration has it. Raises BadInput."""
    for name, value in values.items():
        if value < 0:
            raise BadInput(f"{name}: was {value}, must be a whole number, 0 or more; 0 is off")
