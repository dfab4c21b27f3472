"""Scale-downs while pods are being replaced."""

import pytest

from policies.predictive.replacements import Replacements
from policies.snapshot import NS_PER_SECOND, Pod, Snapshot

NOW = 10_000
LEAD_SECONDS = 200.0


def pod(name: str, created: int, *, ready: bool, deleting: bool = False) -> Pod:
    return Pod(
        name=name,
        phase="Running",
        ready="True" if ready else "False",
        created_ns=created * NS_PER_SECOND,
        deleting=deleting,
    )


def spared(wanted: int, replicas: int, starting: list[Pod], *, raised: int = 0) -> int:
    """At NOW, with `replicas` since `raised`, of which those not in `starting` are ready."""
    serving = [pod(f"old-{number}", 100, ready=True) for number in range(replicas - len(starting))]
    snapshot = Snapshot(replicas=replicas, pods=(*serving, *starting))
    seen = Replacements()
    for second, count in ((0, replicas - 1), (raised, replicas), (NOW, replicas)):
        at = Snapshot(replicas=count, pods=())
        seen = seen.seen(at, lead_seconds=LEAD_SECONDS, now_ns=second * NS_PER_SECOND)
    return seen.spared(wanted, snapshot, lead_seconds=LEAD_SECONDS, now_ns=NOW * NS_PER_SECOND)


@pytest.mark.parametrize(
    ("wanted", "starting", "raised", "asked"),
    [
        pytest.param(4, [], 0, 4, id="nothing-starts"),
        pytest.param(4, [pod("new", NOW - 50, ready=False)], 0, 5, id="one-is-replaced"),
        pytest.param(3, [pod("new", NOW - 50, ready=False)], 0, 4, id="and-one-more-is-not-needed"),
        pytest.param(7, [pod("new", NOW - 50, ready=False)], 0, 7, id="more-is-needed"),
        pytest.param(4, [pod("new", NOW - 50, ready=False)], NOW - 60, 4, id="a-scale-ups-own-pod-is-given-back"),
        pytest.param(4, [pod("new", NOW - 50, ready=False)], NOW - 150, 5, id="a-scale-up-before-it"),
        pytest.param(4, [pod("new", NOW - 150, ready=False)], NOW - 60, 5, id="a-scale-up-after-it"),
        pytest.param(
            3, [pod(f"new-{n}", NOW - 50, ready=False) for n in (1, 2)], NOW - 60, 4, id="one-of-two-is-asked"
        ),
        pytest.param(4, [pod("new", NOW - 401, ready=False)], 0, 4, id="older-than-two-lead-times-is-not-waited-for"),
        pytest.param(4, [pod("old", NOW - 50, ready=False, deleting=True)], 0, 4, id="one-that-leaves"),
    ],
)
def test_what_is_asked_for(wanted: int, starting: list[Pod], raised: int, asked: int) -> None:
    assert spared(wanted, 5, starting, raised=raised) == asked


def test_never_more_than_there_are() -> None:
    assert spared(4, 5, [pod(f"new-{number}", NOW - 50, ready=False) for number in range(3)]) == 5
