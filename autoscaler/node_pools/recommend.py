"""Provider Recommend: nothing is written; the status says what the pool's min-size should be."""

from autoscaler.node_pools.provider import PoolAsk, PoolTold


class RecommendProvider:
    """Of a pool that an admin sizes by hand, and of every pool whose workloads are all in mode Recommend."""

    brings_nodes = False

    async def state(self, now_ns: int) -> PoolTold:  # noqa: ARG002 - as Provider has it
        return PoolTold(state="Recommended")

    async def tell(self, ask: PoolAsk, now_ns: int) -> PoolTold:  # noqa: ARG002 - as Provider has it
        return PoolTold(state="Recommended")
