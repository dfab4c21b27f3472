"""Bytes over a network or from a disk, as a span of time."""

from dataclasses import dataclass

from policies.errors import BadInput
from simulations.lead_time import Stage, check_seconds


@dataclass(frozen=True, slots=True)
class Transfer:
    """bytes / bytes_per_second, lognormal as every `Stage` is: bandwidth that varies by a factor exp(sigma x deviate).

    size_bytes: 0 or more. bytes_per_second: the median, above 0. sigma: in [0, 3]. Raises BadInput.
    """

    size_bytes: float
    bytes_per_second: float
    sigma: float = 0.2

    def __post_init__(self) -> None:
        if not 0.0 <= self.size_bytes < float("inf"):
            raise BadInput(f"size_bytes: was {self.size_bytes}, must be 0 or more bytes")
        if not 0.0 < self.bytes_per_second < float("inf"):
            raise BadInput(
                f"bytes_per_second: was {self.bytes_per_second}, must be above 0; for what takes no time give 0 bytes"
            )
        check_seconds(f"size_bytes / bytes_per_second of {self.size_bytes:g} bytes", self.median_seconds)
        self.stage  # noqa: B018 - checks sigma

    @property
    def median_seconds(self) -> float:
        return self.size_bytes / self.bytes_per_second

    @property
    def stage(self) -> Stage:
        """The same span as a Stage."""
        return Stage(self.median_seconds, self.sigma)

    def seconds(self, deviate: float) -> float:
        """The span for one standard normal deviate."""
        return self.stage.seconds(deviate)


Span = Stage | Transfer
"""What a stage of a start may be: a time that was seen, or bytes at a rate."""

NO_TIME = Stage(0.0, 0.0)
