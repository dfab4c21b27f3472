"""A planner that answers at once, or waits until it is told to; it can be told to fail."""

import asyncio
import json
from typing import Any

from leadtime.plan.runs import OnProgress, Progress
from leadtime.plan.serve_queue import Job, PlanFailed


def document(cost: float = 1_500.0) -> dict[str, Any]:
    """As much of a plan.json as the page compares."""
    return {
        "answer": {"Cost a month": f"${cost:,.0f}"},
        "best": {
            "candidate": "l4",
            "machine": {"name": "g2-standard-4"},
            "policy": "static",
            "parameters": {"replicas": "3"},
            "max_replicas": 5,
            "attainment": {"value": 0.991, "low": 0.99, "high": 0.993},
            "replicas": {"value": 3.0, "low": 3.0, "high": 3.0},
            "peak_replicas": {"value": 3.0, "low": 3.0, "high": 3.0},
            "usd_per_month": {"value": cost, "low": cost, "high": cost},
            "spot_share": None,
        },
    }


class FakePlanner:
    """holds: waits in each plan until `go` is set. error: why there is no answer. ended: names of jobs cut short."""

    def __init__(self, *, holds: bool = False) -> None:
        self.go = asyncio.Event()
        if not holds:
            self.go.set()
        self.began = asyncio.Event()
        self.error = ""
        self.fault: Exception | None = None
        self.ended: list[str] = []
        self.costs = iter(range(1_500, 10_000, 500))

    async def __call__(self, job: Job, on_progress: OnProgress) -> None:
        on_progress(Progress(stage="searching", done=3, total=7))
        self.began.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.ended.append(job.name)
            raise
        if self.fault is not None:
            raise self.fault
        if self.error:
            raise PlanFailed(self.error)
        (job.out / "plan.json").write_text(json.dumps(document(next(self.costs))))
        (job.out / "plan.html").write_text("<!doctype html><title>a report</title><script>1</script>")
        (job.out / "hpa.yaml").write_text("kind: HorizontalPodAutoscaler\n")
