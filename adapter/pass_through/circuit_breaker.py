"""A server that has failed several times in a row is left alone for a while."""


class CircuitBreaker:
    """Closed while it works; open after failures_until_open failures in a row; then one trial each open_seconds.

    Instants are seconds on any clock that never goes back. Every `allow` that gave True is followed by one of
    `succeeded`, `failed` and `abandoned`.
    """

    def __init__(self, *, failures_until_open: int, open_seconds: float) -> None:
        self._failures_until_open = failures_until_open
        self._open_seconds = open_seconds
        self._failures = 0
        self._opened_at = 0.0
        self._trying = False

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._failures

    @property
    def is_open(self) -> bool:
        """Whether requests are turned away, but for a trial."""
        return self._failures >= self._failures_until_open

    def allow(self, now: float) -> bool:
        """Whether to ask now."""
        if not self.is_open:
            return True
        if self._trying or self.seconds_until_trial(now) > 0:
            return False
        self._trying = True
        return True

    def seconds_until_trial(self, now: float) -> float:
        """0 where the next request is let through, or one is on its way."""
        return max(0.0, self._opened_at + self._open_seconds - now) if self.is_open else 0.0

    def succeeded(self) -> None:
        """The server has answered."""
        self._failures = 0
        self._trying = False

    def failed(self, now: float) -> None:
        """It has not. A request that was on its way when the breaker opened does not lengthen the time."""
        if self._trying or not self.is_open:
            self._opened_at = now
        self._failures += 1
        self._trying = False

    def abandoned(self) -> None:
        """Whoever asked has left before it was known."""
        self._trying = False
