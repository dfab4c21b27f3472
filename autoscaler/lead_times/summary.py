"""Lead times in words and in a table, for status, page and `leadtime explain`."""

from dataclasses import dataclass

from autoscaler.lead_times.lead_time import Path, Steps
from autoscaler.lead_times.lead_times import LeadTimes, median_steps, quantile_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSummary:
    """Of the pods that came by one path. steps: the median of each on its own."""

    path: Path
    pods: int
    median_seconds: float
    p90_seconds: float
    steps: Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Of one workload; the path with the most pods first."""

    sentence: str
    paths: tuple[PathSummary, ...] = ()


def summary_of(lead_times: LeadTimes, assumed_seconds: float) -> Summary:
    """assumed_seconds: said while nothing was seen."""
    rows = [
        PathSummary(
            path=path,
            pods=len(pods),
            median_seconds=quantile_seconds(pods, 0.5),
            p90_seconds=quantile_seconds(pods, 0.9),
            steps=median_steps(pods),
        )
        for path, pods in lead_times.by_path.items()
    ]
    rows.sort(key=lambda row: (-row.pods, str(row.path)))
    return Summary(sentence=sentence(lead_times, assumed_seconds), paths=tuple(rows))


def sentence(lead_times: LeadTimes, assumed_seconds: float) -> str:
    """`median 240 s over 12 pods: node 95, pull 11, load 134; new node 8 of 12`. Steps that take no second are left
    out; each is a median of its own, so they need not add up."""
    latest = lead_times.latest()
    if not latest:
        return f"assumed {assumed_seconds:.0f} s: no pod was seen to become Ready in a scale-up yet"
    steps = median_steps(latest)
    named = (
        ("ask", steps.ask_seconds),
        ("node", steps.node_seconds),
        ("pull", steps.pull_seconds),
        ("start", steps.start_seconds),
        ("load", steps.load_seconds),
    )
    parts = ", ".join(f"{name} {seconds:.0f}" for name, seconds in named if seconds >= 0.5)
    new = sum(each.path.node == "NewNode" for each in latest)
    pods = "1 pod" if len(latest) == 1 else f"{len(latest)} pods"
    return (
        f"median {quantile_seconds(latest, 0.5):.0f} s over {pods}{': ' if parts else ''}{parts}; "
        f"new node {new} of {len(latest)}"
    )
