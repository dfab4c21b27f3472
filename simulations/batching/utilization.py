"""How busy a server's GPU is: the share of a period in which at least one batch ran."""

from simulations.batching.engine import BatchingEngine


def busy_seconds(engine: BatchingEngine, row: int, now: float) -> float:
    """Since the server was added, up to `now`, which is the engine's."""
    server = engine.servers[row]
    return float(server["busy_seconds"]) + (now - float(server["step_start"]) if server["in_step"] else 0.0)


class UtilizationSampler:
    """Share of the time since the sample before, 0 to 1, by row. Exporters take one per interval of their own.

    Triton: --metrics-interval-ms, 2,000 by default. TorchServe: metric_time_interval, 60 s by default.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[float, float]] = {}

    def sample(self, engine: BatchingEngine, row: int, now: float) -> float:
        """The engine has been advanced to `now`. The first sample of a row covers nothing, and is 0."""
        busy = busy_seconds(engine, row, now)
        since, before = self._seen.get(row, (now, busy))
        self._seen[row] = (now, busy)
        if busy < before or now <= since:  # another server has the row now
            return 0.0
        return min((busy - before) / (now - since), 1.0)
