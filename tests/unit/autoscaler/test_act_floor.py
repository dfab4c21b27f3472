"""Mode Floor: minReplicas of the HPA follows the decision, is never fought over, and is given back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from fake_object_server import FakeObjectServer
from hypothesis import given
from hypothesis import strategies as st
from made_objects import HPA_PATH, KEY, at, autoscaler, decision, hpa_json, scale

from adapter.sources.kubernetes.api import ApiError
from autoscaler.act.act import Actor
from autoscaler.act.floor_plan import FORCE_ANNOTATION, plan_floor
from autoscaler.act.hpa_object import BEFORE_ANNOTATION, FLOOR_OF_ANNOTATION, hpa_object
from autoscaler.act.orphans import give_back_orphans
from autoscaler.act.published import PublishedNeeds
from autoscaler.act.result import ActResult
from autoscaler.act.writer import Writer
from autoscaler.observe.hpa_seen import hpa_seen
from policies.hpa import default_behavior

GITOPS = "argocd-controller"


@dataclass
class Stage:
    """One HPA on an API server, and a controller that may be started anew."""

    server: FakeObjectServer = field(default_factory=FakeObjectServer)
    actor: Actor = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.actor = Actor(Writer(self.server), PublishedNeeds(lambda: True))

    async def step(
        self, desired: int, seconds: float = 0.0, *, hpas: Sequence[str] = ("vllm",), **spec: Any
    ) -> ActResult:
        annotations = spec.pop("annotations", None)
        folder = HPA_PATH.removesuffix("vllm")
        seen = [hpa_seen(self.server.objects[folder + name]) for name in hpas if folder + name in self.server.objects]
        return await self.actor.act(
            autoscaler(annotations=annotations, **{"mode": "Floor", **spec}),
            scale(5),
            decision(desired),
            seen,
            behavior=default_behavior(),
            now_ns=at(seconds),
        )

    @property
    def floor(self) -> int | None:
        return self.server.objects[HPA_PATH]["spec"].get("minReplicas")

    @property
    def kept(self) -> dict[str, str]:
        return {
            name: value
            for name, value in self.server.objects[HPA_PATH]["metadata"].get("annotations", {}).items()
            if name in (BEFORE_ANNOTATION, FLOOR_OF_ANNOTATION)
        }


def stage(**parts: Any) -> Stage:
    made = Stage()
    made.server.put(HPA_PATH, hpa_json(**parts))
    return made


def owned_by(manager: str) -> list[dict[str, Any]]:
    return [{"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": {"f:minReplicas": {}}}}]


async def test_the_floor_follows_and_what_was_before_is_kept():
    there = stage()
    result = await there.step(12)
    assert (result.acted.to, result.acted.before, result.acted.after) == ("hpa/vllm", 2, 12)
    assert (there.floor, there.kept) == (12, {BEFORE_ANNOTATION: "2", FLOOR_OF_ANNOTATION: "vllm"})
    assert (await there.step(9, 15)).acted.after == 9
    assert there.kept[BEFORE_ANNOTATION] == "2"


async def test_an_admins_own_floor_stays_a_floor():
    there = stage(minimum=6)
    assert (await there.step(3)).acted.after is None
    await there.step(10, 15)
    result = await there.step(3, 30)
    assert (there.floor, result.acted.after) == (6, 6)


async def test_a_floor_stops_at_the_hpas_maximum_and_that_is_said():
    there = stage(maximum=10)
    result = await there.step(14)
    assert there.floor == 10
    assert [(each.type, each.status, each.reason) for each in result.findings] == [
        ("ScalingLimited", "True", "FloorAboveHPAMax")
    ]


async def test_an_unchanged_floor_costs_one_look_a_minute():
    there = stage()
    await there.step(12)
    for seconds in range(15, 135, 15):
        await there.step(12, seconds)
    assert len(there.server.writes) == 1
    assert len(there.server.reads) == 3  # to write it, and at 15 and 75 s


@pytest.mark.parametrize("mode", ["Recommend", "Metric", "Direct"])
@pytest.mark.parametrize("restarted", [False, True])
async def test_another_mode_gives_the_floor_back(mode, restarted):
    there = stage(minimum=3)
    await there.step(12)
    if restarted:
        there.restart()
    result = await there.step(12, 15, mode=mode)
    assert (there.floor, there.kept) == (3, {})
    assert (result.acted.before, result.acted.after) == (12, 3)
    reads = len(there.server.reads)
    await there.step(12, 30, mode=mode)
    assert len(there.server.reads) == reads  # once is enough


async def test_a_value_that_somebody_set_since_is_not_given_back_over():
    there = stage(minimum=3)
    await there.step(12)
    there.server.set_min_replicas(HPA_PATH, 20, "kubectl-edit")
    await there.step(12, 15, mode="Recommend")
    assert (there.floor, there.kept) == (20, {})


async def test_without_minreplicas_before_one_is_given_back():
    there = stage(minimum=None)
    await there.step(12)
    await there.step(12, 15, mode="Recommend")
    assert there.floor == 1


async def test_another_hpa_is_named_and_the_first_gets_its_floor_back():
    there = stage(minimum=3)
    there.server.put(HPA_PATH.replace("/vllm", "/other"), hpa_json("other"))
    await there.step(12, hpas=("vllm", "other"), horizontalPodAutoscaler="vllm")
    assert there.floor == 12
    await there.step(12, 15, hpas=("vllm", "other"), horizontalPodAutoscaler="other")
    assert there.floor == 3
    assert there.server.objects[HPA_PATH.replace("/vllm", "/other")]["spec"]["minReplicas"] == 12


async def test_a_give_back_that_fails_is_tried_again():
    there = stage(minimum=3)
    await there.step(12)
    there.server.failures = [ApiError(0, "Unreachable", "gone")]
    result = await there.step(12, 15, mode="Recommend")
    assert "could not be given back" in result.acted.error
    await there.step(12, 30, mode="Recommend")
    assert there.floor == 3


@pytest.mark.parametrize(
    ("parts", "reason", "says"),
    [
        pytest.param(
            {"ownerReferences": [{"kind": "ScaledObject", "name": "so", "controller": True}]},
            "OwnedByKEDA",
            ("ScaledObject/so", "spec.minReplicaCount", "12"),
            id="keda",
        ),
        pytest.param(
            {"managedFields": owned_by(GITOPS)},
            "OwnedByGitOps",
            (GITOPS, "ignoreDifferences", FORCE_ANNOTATION),
            id="gitops",
        ),
        pytest.param(
            {
                "managedFields": owned_by("kubectl-client-side-apply"),
                "annotations": {
                    "argocd.argoproj.io/tracking-id": "serving:autoscaling/HorizontalPodAutoscaler:llm/vllm"
                },
            },
            "OwnedByGitOps",
            ("Argo CD application/serving",),
            id="gitops-under-kubectls-name",
        ),
    ],
)
async def test_another_controllers_field_is_refused_with_the_remedy(parts, reason, says):
    there = stage(**parts)
    result = await there.step(12)
    assert (there.server.writes, there.floor) == ([], 2)
    (finding,) = result.findings
    assert (finding.type, finding.status, finding.reason) == ("NoConflict", "False", reason)
    assert all(words in finding.message for words in says)
    assert result.acted.withheld == finding.message


async def test_a_gitops_tool_that_ignores_the_field_is_overruled_on_request():
    there = stage(managedFields=owned_by(GITOPS))
    await there.step(12, annotations={FORCE_ANNOTATION: "true"})
    assert there.floor == 12


async def test_a_field_that_a_person_owns_is_taken():
    there = stage(managedFields=owned_by("helm"))
    await there.step(12)
    assert there.floor == 12


async def test_a_loop_that_takes_the_floor_back_is_told_and_written_against_ever_more_rarely():
    there = stage()
    written, told = [], []
    for seconds in range(0, 3600, 15):
        if there.floor != 2:  # somebody's loop puts its value back between two steps
            there.server.set_min_replicas(HPA_PATH, 2, "our-release-job")
        result = await there.step(12, seconds)
        if result.acted.after is not None:
            written.append(seconds)
        told += [each.reason for each in result.findings]
    assert written == [0, 15, 90, 225, 480, 975, 1950]  # after the second revert pauses of 1, 2, 4, 8, 16, 32 min
    assert set(told) == {"FloorTakenBack"}
    message = (await there.step(12, 3600)).findings[0].message
    assert "our-release-job" in message
    assert "ignoreDifferences" in message


async def test_one_edit_by_a_person_is_followed_without_a_word():
    there = stage()
    await there.step(12)
    there.server.set_min_replicas(HPA_PATH, 4, "kubectl-edit")
    result = await there.step(12, 15)
    assert (there.floor, result.findings) == (12, ())
    assert there.kept[BEFORE_ANNOTATION] == "4"  # the person's new floor is what will be given back


async def test_reverts_long_past_are_forgotten():
    there = stage()
    for seconds in (0, 15, 90):
        await there.step(12, seconds)
        there.server.set_min_replicas(HPA_PATH, 2, "our-release-job")
    await there.step(12, 300)
    assert there.floor == 12
    result = await there.step(13, 300 + 3601)
    assert (result.acted.after, result.findings) == (13, ())


async def test_an_hpa_that_changes_between_look_and_write_is_left_for_the_next_step():
    there = stage()
    there.server.before_write = lambda: there.server.set_min_replicas(HPA_PATH, 5, "kubectl-edit")
    result = await there.step(12)
    assert "Conflict" in result.acted.error
    assert there.floor == 5
    assert (await there.step(12, 15)).acted.after == 12


async def test_only_the_leader_writes_a_floor():
    there = stage()
    there.server.is_leader = False
    result = await there.step(12)
    assert (there.floor, there.server.writes) == (2, [])
    assert "not the leader" in result.acted.withheld


@pytest.mark.parametrize(
    ("hpas", "named", "reason"),
    [((), None, "NoHPA"), (("vllm", "other"), None, "AmbiguousSelector"), (("vllm",), "elsewhere", "NoHPA")],
)
async def test_without_one_clear_hpa_nothing_is_written(hpas, named, reason):
    there = stage()
    there.server.put(HPA_PATH.replace("/vllm", "/other"), hpa_json("other"))
    spec = {} if named is None else {"horizontalPodAutoscaler": named}
    result = await there.step(12, hpas=hpas, **spec)
    assert [each.reason for each in result.findings] == [reason]
    assert there.server.writes == []


async def test_floors_of_deleted_objects_are_found_and_given_back():
    there = stage(minimum=3)
    await there.step(12)
    there.server.put(HPA_PATH.replace("/vllm", "/alive"), hpa_json("alive", annotations={FLOOR_OF_ANNOTATION: "alive"}))
    there.server.put(HPA_PATH.replace("/vllm", "/other"), hpa_json("other"))
    assert await give_back_orphans(Writer(there.server), {KEY, type(KEY)("llm", "alive")}) == ()
    (done,) = await give_back_orphans(Writer(there.server), {type(KEY)("llm", "alive")}, ("llm",))
    assert (done.to, done.before, done.after, there.floor) == ("hpa/vllm", 12, 3, 3)


@given(
    minimum=st.integers(1, 60),
    maximum=st.integers(1, 60),
    desired=st.integers(0, 100),
    before=st.none() | st.integers(1, 60),
    owners=st.sets(st.sampled_from(["leadtime-controller", "helm", GITOPS]), max_size=3),
)
def test_a_floor_lies_between_what_was_before_and_the_maximum(minimum, maximum, desired, before, owners):
    parts: dict[str, Any] = {} if before is None else {"annotations": {BEFORE_ANNOTATION: str(before)}}
    body = hpa_json(minimum=minimum, maximum=max(maximum, minimum), uid="u", resourceVersion="1", **parts)
    body["metadata"]["managedFields"] = [each for name in owners for each in owned_by(name)]
    found = hpa_object(body, "leadtime-controller")
    plan = plan_floor(found, desired, may_force=False)
    assert plan.before == (before if before is not None and "leadtime-controller" in owners else minimum)
    if plan.min_replicas is not None:
        assert min(plan.before, found.seen.max_replicas) <= plan.min_replicas <= found.seen.max_replicas
        assert plan.min_replicas != minimum
        assert GITOPS not in owners
