"""The node loop: one decision a pool, told to its provider, and no provider in another's way."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from adapter.sources.kubernetes.api import ApiError
from autoscaler.cluster import Key
from autoscaler.crd.node_pool import NodePool, Spot
from autoscaler.node_pools.node_loop import NodeLoop
from autoscaler.node_pools.provider import PoolAsk, PoolTold
from autoscaler.node_pools.seen import NodeNow
from autoscaler.node_pools.workload import PodPlace, WorkloadNow
from autoscaler.outcome import PoolOutcome
from policies.snapshot import NS_PER_SECOND, Container, Pod

GPU = "nvidia.com/gpu"
EPOCH = 1_800_000_000
IDLE = PoolTold(state="Idle")


def at(second: float) -> int:
    return round((EPOCH + second) * NS_PER_SECOND)


@dataclass
class FakeProvider:
    """asks: what it was told. told: what it answers. gate: tell and state wait for it. error: raised by both."""

    asks: list[PoolAsk] = field(default_factory=list)
    looks: int = 0
    told: PoolTold = IDLE
    brings_nodes: bool = True
    error: Exception | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def state(self, now_ns: int) -> PoolTold:  # noqa: ARG002
        self.looks += 1
        return await self._answer()

    async def tell(self, ask: PoolAsk, now_ns: int) -> PoolTold:  # noqa: ARG002
        self.asks.append(ask)
        return await self._answer()

    async def _answer(self) -> PoolTold:
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.told


@dataclass
class FakePod:
    pod: Pod
    node: str = ""
    revision: str = ""
    labels: dict[str, str] = field(default_factory=dict)


def gpu_pod(node: str, gpus: int = 1, revision: str = "r") -> FakePod:
    containers = (Container(name="server", requests_milli={GPU: gpus * 1000}),)
    return FakePod(Pod(name="p", phase="Running", ready="True", containers=containers), node, revision)


class World:
    """The cluster, a loop over it, and a provider for each pool by name."""

    def __init__(self, **options: Any) -> None:
        self.nodes: dict[str, NodeNow] = {}
        self.pods: list[FakePod] = []
        self.providers: dict[str, FakeProvider] = {}
        self.swept: list[tuple[list[Any], list[str]]] = []
        self.leads = True
        self.is_paused = False
        self.sweep_fails = False
        self.loop = NodeLoop(
            provider_of=lambda shared: self.provider(shared.pool.name),
            may_write=lambda: self.leads,
            is_paused=lambda: self.is_paused,
            sweep=self._sweep,
            **options,
        )

    def provider(self, name: str = "l4") -> FakeProvider:
        return self.providers.setdefault(name, FakeProvider())

    def has_nodes(self, *names: str, gpus: int = 1, pool: str = "l4", ready: bool = True) -> None:
        for name in names:
            self.nodes[name] = NodeNow(
                name=name,
                labels={"pool": pool},
                created_ns=at(-3600),
                ready_since_ns=at(-3570),
                allocatable={GPU: gpus},
                ready="True" if ready else "False",
            )

    async def step(self, *workloads: WorkloadNow, second: float = 0.0) -> dict[str, tuple[PoolOutcome, ...]]:
        """Outcomes by the workload's name."""
        found = await self.loop.step(workloads, self.nodes, self.pods_on, at(second))
        return {key.name: outcomes for key, outcomes in found.items()}

    def pods_on(self, node: str) -> list[FakePod]:
        return [pod for pod in self.pods if pod.node == node]

    async def _sweep(self, keys: Any, uids: Any) -> None:
        self.swept.append((sorted(keys), sorted(uids)))
        if self.sweep_fails:
            raise ApiError(0, "Timeout", "no answer")


def pool(name: str = "l4", **changes: Any) -> NodePool:
    given: dict[str, Any] = {"name": name, "max_nodes": 10, "node_selector": {"pool": name}, "provider": "Placeholders"}
    return NodePool(**{**given, **changes})


def workload(
    name: str = "vllm",
    needed: int | None = 1,
    *,
    replicas: int | None = None,
    pools: tuple[NodePool, ...] = (),
    **changes: Any,
) -> WorkloadNow:
    places = tuple(PodPlace(node=node, revision="r") for node in changes.pop("on", ()))
    given: dict[str, Any] = {"gpus_per_replica": 1, "pods": places, **changes}
    return WorkloadNow(
        key=Key("llm", name),
        uid=f"uid-{name}",
        pools=pools or (pool(),),
        replicas=len(places) if replicas is None else replicas,
        needed_replicas=needed,
        **given,
    )


@pytest.fixture
def world() -> World:
    return World()


async def test_a_need_ahead_of_the_pods_becomes_a_floor_and_the_placeholders_that_bring_it(world: World) -> None:
    world.has_nodes("n0", "n1")
    world.pods = [gpu_pod("n0"), gpu_pod("n1")]
    (outcome,) = (await world.step(workload(needed=5, on=["n0", "n1"])))["vllm"]
    (ask,) = world.provider().asks
    assert (outcome.floor_nodes, outcome.nodes, outcome.ready_nodes, outcome.condition) == (5, 2, 2, "Ready")
    # Three replicas are still to be placed: they bring their own nodes, and nothing is left to hold.
    assert (ask.keep_nodes, dict(ask.placeholders), ask.nodes, ask.occupied_nodes) == (5, {}, 2, 2)
    assert outcome.message.startswith("l4: floor 2 -> 5: pods take 5 GPUs")


async def test_placeholders_hold_what_the_floor_has_beyond_the_pods(world: World) -> None:
    """The need falls, the floor stays for its cooldown, and so does the room."""
    world.has_nodes("n0", gpus=8)
    world.pods = [gpu_pod("n0", 2)]
    given: dict[str, Any] = {"pools": (pool(gpus_per_node=8),), "gpus_per_replica": 2, "on": ["n0"]}
    await world.step(workload(needed=9, **given))
    await world.step(workload(needed=1, **given), second=30)
    assert [(ask.keep_nodes, dict(ask.placeholders)) for ask in world.provider().asks] == [(3, {2: 3}), (3, {2: 11})]


async def test_a_rollout_keeps_the_floor_as_long_as_it_lasts(world: World) -> None:
    nodes = ["n0", "n1", "n2"]
    world.has_nodes(*nodes)
    world.pods = [gpu_pod(node) for node in nodes]
    await world.step(workload(needed=3, on=nodes))
    world.pods = [gpu_pod("n0")]
    rolling = {"pods": (PodPlace(node="n0", revision="old"), PodPlace(node="n1", revision="new"))}
    floors = []
    for second, changes in ((3000, rolling), (6000, rolling), (9000, {"on": ["n0"]})):
        (outcome,) = (await world.step(workload(needed=1, replicas=1, **changes), second=second))["vllm"]
        floors.append(outcome.floor_nodes)
    assert floors == [3, 3, 1]


async def test_an_unknown_need_keeps_the_floor_and_the_room(world: World) -> None:
    world.has_nodes("n0")
    world.pods = [gpu_pod("n0")]
    await world.step(workload(needed=4, on=["n0"]))
    for second in (30, 3000, 30_000):
        (outcome,) = (await world.step(workload(needed=None, on=["n0"]), second=second))["vllm"]
        assert outcome.floor_nodes == 4
    assert dict(world.provider().asks[-1].placeholders) == {1: 3}


async def test_workloads_that_share_a_pool_are_decided_together_and_told_once(world: World) -> None:
    found = await world.step(workload("a", needed=2), workload("b", needed=3))
    (ask,) = world.provider().asks
    assert ask.keep_nodes == 5
    assert [owner.key.name for owner in ask.owners] == ["a", "b"]
    assert found["a"][0].floor_nodes == found["b"][0].floor_nodes == 5


async def test_a_slow_provider_delays_no_other_and_is_not_told_twice() -> None:
    world = World(timeout_seconds=0.01)
    world.provider("slow").gate.clear()
    slow, fast = workload("a", needed=2, pools=(pool("slow"),)), workload("b", needed=3, pools=(pool("fast"),))
    for second in (0, 30):
        found = await world.step(slow, fast, second=second)
        assert found["b"][0].message.startswith("fast: floor")
        assert found["a"][0].floor_nodes == 2
        assert "not asked yet" in found["a"][0].message
    assert (len(world.provider("slow").asks), len(world.provider("fast").asks)) == (1, 2)
    world.provider("slow").gate.set()
    found = await world.step(slow, fast, second=60)
    found = await world.step(slow, fast, second=90)
    assert "not asked yet" not in found["a"][0].message
    assert len(world.provider("slow").asks) >= 2
    await world.loop.close()


async def test_a_providers_outcome_is_there_before_the_slow_ones_are(world: World) -> None:
    world.provider("slow").gate.clear()
    step = asyncio.create_task(world.step(workload("a", pools=(pool("slow"),)), workload("b", pools=(pool("fast"),))))
    for _ in range(20):
        await asyncio.sleep(0)
    assert "not asked" not in world.loop.outcomes_of(Key("llm", "b"))[0].message
    assert not step.done()
    world.provider("slow").gate.set()
    await step


async def test_a_provider_that_fails_is_unreachable_and_tried_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.provider("bad").error = RuntimeError("boom")
    both = workload("a", pools=(pool("bad"),)), workload("b", pools=(pool("good"),))
    found = await world.step(*both)
    assert (found["a"][0].state, found["b"][0].state) == ("Unreachable", "Idle")
    assert "boom" in found["a"][0].message
    assert "its provider failed" in caplog.text
    world.provider("bad").error = None
    assert (await world.step(*both, second=30))["a"][0].state == "Idle"


@pytest.mark.parametrize(
    ("change", "asks", "looks", "state", "said"),
    [
        pytest.param({"paused": True}, 0, 1, "Idle", "paused", id="paused"),
        pytest.param({"recommends": True}, 0, 0, "Recommended", "", id="advice-asks-nobody"),
    ],
)
async def test_what_may_not_act_is_not_told(
    world: World, change: Any, asks: Any, looks: Any, state: Any, said: Any
) -> None:
    (outcome,) = (await world.step(workload(**change)))["vllm"]
    assert (len(world.provider().asks), world.provider().looks) == (asks, looks)
    assert outcome.state == state
    assert said in outcome.message


async def test_a_paused_cluster_is_told_nothing_and_nothing_is_given_back(world: World) -> None:
    world.is_paused = True
    await world.step(workload())
    assert (world.provider().asks, world.swept) == ([], [])


async def test_a_follower_decides_and_leaves_the_providers_alone(world: World) -> None:
    world.leads = False
    (outcome,) = (await world.step(workload(needed=3)))["vllm"]
    assert outcome.floor_nodes == 3
    assert (world.provider().asks, world.provider().looks, world.swept) == ([], 0, [])
    world.leads = True
    await world.step(workload(needed=3), second=30)
    assert world.provider().asks[-1].keep_nodes == 3


async def test_nodes_that_do_not_come_are_a_stockout_after_the_patience_and_tried_again(world: World) -> None:
    """They usually take 120 s: after 360 s the asks are withdrawn, and a single one is made 5 min later."""
    floors = {}
    for second in range(0, 900, 30):
        (outcome,) = (await world.step(workload(needed=4, replicas=4), second=second))["vllm"]
        floors[second] = (outcome.floor_nodes, outcome.condition)
        assert outcome.nodes == 0, "what was asked for is not there"
    assert floors[360] == (4, "Ready")
    assert floors[390] == (0, "StockedOut")
    assert floors[660] == (0, "StockedOut")
    assert floors[690] == (1, "StockedOut")


async def test_what_the_cloud_says_it_lacks_needs_no_patience(world: World) -> None:
    await world.step(workload(needed=4, replicas=4))
    world.provider().told = PoolTold(state="StockedOut", message="no l4 left")
    floors = []
    for second in (30, 60, 90):
        (outcome,) = (await world.step(workload(needed=4, replicas=4), second=second))["vllm"]
        floors.append((outcome.floor_nodes, outcome.condition))
    assert floors == [(4, "StockedOut"), (0, "StockedOut"), (0, "StockedOut")]


async def test_a_refused_quota_bounds_the_floor_by_the_nodes_that_are_there(world: World) -> None:
    world.has_nodes("n0", "n1")
    world.provider().told = PoolTold(state="QuotaExceeded", message="ask for more")
    for second in (0, 30):
        (outcome,) = (await world.step(workload(needed=6, replicas=6), second=second))["vllm"]
    assert (outcome.floor_nodes, outcome.condition, outcome.state) == (2, "QuotaExceeded", "QuotaExceeded")


async def test_how_long_nodes_take_is_learned_from_the_asks_that_they_met(world: World) -> None:
    await world.step(workload(needed=1, replicas=1))
    world.has_nodes("n0")
    world.nodes["n0"] = NodeNow(
        name="n0",
        labels={"pool": "l4"},
        created_ns=at(200),
        ready_since_ns=at(240),
        allocatable={GPU: 1},
        ready="True",
    )
    (outcome,) = (await world.step(workload(needed=1, replicas=1), second=270))["vllm"]
    # 120 s assumed counts as three nodes; 240 s from the ask, not 40 from the registration.
    assert outcome.numbers["node_lead_time_seconds"] == (3 * 120 + 240) / 4


async def test_what_the_first_pool_cannot_hold_is_asked_of_the_next(world: World) -> None:
    both = (pool("first", max_nodes=2), pool("second"))
    for second in (0, 30):
        found = await world.step(workload(needed=5, replicas=5, pools=both), second=second)
    first, second_pool = found["vllm"]
    assert (first.floor_nodes, first.condition) == (2, "AtMaxNodes")
    assert second_pool.floor_nodes == 3
    # Pods that stand on the second one are no longer the first one's.
    world.has_nodes("s0", "s1", "s2", pool="second")
    world.has_nodes("f0", "f1", pool="first")
    nodes = ["s0", "s1", "s2", "f0", "f1"]
    world.pods = [gpu_pod(node) for node in nodes]
    found = await world.step(workload(needed=5, on=nodes, pools=both), second=7200)
    assert [(outcome.floor_nodes, outcome.condition) for outcome in found["vllm"]] == [(2, "Ready"), (3, "Ready")]


def spot_and_on_demand(share: float = 0.5, **changes: Any) -> tuple[NodePool, NodePool]:
    """All nodes of the first are spot; the share on demand is the second one's."""
    terms = Spot(price_per_node_hour=0.4, preemptions_per_node_hour=0.05, on_demand_in_next_pool=True)
    return pool("spot", spot=terms, on_demand_base_share=share, **changes), pool("standard")


def floors(outcomes: tuple[PoolOutcome, ...]) -> dict[str, int]:
    return {outcome.name: outcome.floor_nodes for outcome in outcomes}


async def test_a_spot_pool_and_its_on_demand_pool_are_told_their_parts(world: World) -> None:
    found = await world.step(workload(needed=6, replicas=6, pools=spot_and_on_demand()))
    spot, standard = found["vllm"]
    assert floors(found["vllm"]) == {"spot": 3, "standard": 3}
    assert "3 of them on demand, from standard" in spot.message
    assert (spot.numbers["on_demand_nodes"], spot.numbers["spot_nodes"]) == (3.0, spot.numbers["keep_nodes"])
    assert world.provider("spot").asks[-1].keep_nodes >= 3
    assert world.provider("standard").asks[-1].keep_nodes == 3
    assert standard.condition == "Ready"


async def test_parts_stay_as_they_are_while_nodes_and_pods_come(world: World) -> None:
    """What the on-demand pool holds is on demand already: nothing is asked for twice."""
    pools = spot_and_on_demand()
    await world.step(workload(needed=6, replicas=6, pools=pools))
    world.has_nodes("d0", "d1", "d2", pool="standard")
    world.pods = [gpu_pod(node) for node in ("d0", "d1", "d2")]
    found = await world.step(workload(needed=6, replicas=6, on=["d0", "d1", "d2"], pools=pools), second=60)
    assert floors(found["vllm"]) == {"spot": 3, "standard": 3}
    world.has_nodes("s0", "s1", "s2", pool="spot")
    nodes = ["d0", "d1", "d2", "s0", "s1", "s2"]
    world.pods = [gpu_pod(node) for node in nodes]
    found = await world.step(workload(needed=6, on=nodes, pools=pools), second=120)
    assert floors(found["vllm"]) == {"spot": 3, "standard": 3}


async def test_an_unknown_need_keeps_both_parts(world: World) -> None:
    """However long it lasts: a floor that was divided is not divided again."""
    pools = spot_and_on_demand()
    await world.step(workload(needed=6, replicas=6, pools=pools))
    for second in range(30, 3600, 30):
        found = await world.step(workload(needed=None, replicas=6, pools=pools), second=second)
    assert floors(found["vllm"]) == {"spot": 3, "standard": 3}


async def test_a_fallen_need_keeps_both_parts_for_the_cooldown(world: World) -> None:
    pools = spot_and_on_demand()
    await world.step(workload(needed=6, replicas=6, pools=pools))
    nodes = ["d0", "d1", "d2", "s0", "s1", "s2"]
    world.has_nodes("d0", "d1", "d2", pool="standard")
    world.has_nodes("s0", "s1", "s2", pool="spot")
    world.pods = [gpu_pod(node) for node in nodes]
    await world.step(workload(needed=6, on=nodes, pools=pools), second=60)
    world.pods = [gpu_pod("s0")]
    found = await world.step(workload(needed=1, on=["s0"], pools=pools), second=90)
    assert floors(found["vllm"]) == {"spot": 6, "standard": 3}  # headroom after the peak is the spot pool's
    for second in range(120, 9000, 30):
        found = await world.step(workload(needed=1, on=["s0"], pools=pools), second=second)
    assert floors(found["vllm"]) == {"spot": 1, "standard": 0}


@pytest.mark.parametrize("state", ["StockedOut", "QuotaExceeded"])
async def test_what_does_not_come_as_spot_is_asked_of_the_on_demand_pool(world: World, state: Any) -> None:
    pools = spot_and_on_demand()
    world.provider("spot").told = PoolTold(state=state, message="no capacity")
    for second in (0, 30, 60):
        found = await world.step(workload(needed=6, replicas=6, pools=pools), second=second)
    assert floors(found["vllm"])["standard"] == 6
    assert found["vllm"][0].condition == state


@pytest.mark.parametrize("state", ["StockedOut", "QuotaExceeded", "Refused"])
async def test_while_the_on_demand_pool_cannot_be_had_all_stays_spot(world: World, state: Any) -> None:
    pools = spot_and_on_demand()
    world.provider("standard").told = PoolTold(state=state, message="no capacity")
    for second in (0, 30):
        found = await world.step(workload(needed=6, replicas=6, pools=pools), second=second)
    assert floors(found["vllm"])["spot"] == 6


@pytest.mark.parametrize(
    "behind",
    [pytest.param((), id="none"), pytest.param((pool("standard", gpus_per_node=8),), id="one-of-unlike-nodes")],
)
async def test_without_a_pool_like_it_behind_it_nothing_is_divided(world: World, behind: tuple[NodePool, ...]) -> None:
    first, _ = spot_and_on_demand()
    found = await world.step(workload(needed=6, replicas=6, pools=(first, *behind)))
    assert floors(found["vllm"])["spot"] == 6


async def test_workloads_that_go_on_to_different_pools_leave_the_first_undivided(world: World) -> None:
    first, second = spot_and_on_demand()
    found = await world.step(
        workload("a", needed=3, replicas=3, pools=(first, second)),
        workload("b", needed=3, replicas=3, pools=(first, pool("other"))),
    )
    assert floors(found["a"])["spot"] == 6


async def test_a_replica_larger_than_a_node_is_refused_and_the_other_pools_go_on(world: World) -> None:
    found = await world.step(
        workload("a", gpus_per_replica=8, pools=(pool("small"),)), workload("b", pools=(pool("fits"),))
    )
    assert (found["a"][0].state, found["a"][0].condition) == ("Refused", "Invalid")
    assert "gpus_per_replica: was 8, must be in [1, 1]" in found["a"][0].message
    assert found["b"][0].state == "Idle"


async def test_a_pool_that_is_gone_is_forgotten_and_what_held_room_for_it_is_swept(world: World) -> None:
    one = workload("a", needed=3)
    await world.step(one, workload("b", recommends=True, pools=(pool("advice"),)))
    await world.step(second=30)
    assert world.loop.outcomes_of(one.key) == ()
    assert [keys for keys, _ in world.swept] == [[("Placeholders", "l4", GPU, "pool=l4")], []]
    (outcome,) = (await world.step(workload("a", needed=None), second=60))["a"]
    assert outcome.floor_nodes == 0


async def test_room_is_swept_when_pools_change_every_ten_minutes_and_again_after_a_failure(world: World) -> None:
    seconds: list[int] = []
    for second in range(0, 1260, 30):
        world.sweep_fails = second == 0
        pools = (pool(),) if second < 120 else (pool(), pool("h100"))
        await world.step(workload(pools=pools), second=second)
        seconds += [second] * (len(world.swept) - len(seconds))
    assert seconds == [0, 30, 120, 720]


async def test_what_an_unreadable_object_owns_is_told_to_the_sweep(world: World) -> None:
    await world.loop.step([], {}, world.pods_on, at(0), unreadable_uids=["uid-broken"])
    assert world.swept == [([], ["uid-broken"])]


@pytest.mark.parametrize(
    ("state", "condition"),
    [("Idle", "Ready"), ("Resizing", "Ready"), ("Refused", "Refused"), ("Unreachable", "Unreachable")],
)
async def test_a_pool_that_cannot_be_told_is_not_in_order(world: World, state: Any, condition: Any) -> None:
    world.provider().told = PoolTold(state=state)
    (outcome,) = (await world.step(workload()))["vllm"]
    assert (outcome.state, outcome.condition) == (state, condition)
