"""The decision core: pure functions and values.

`decide(spec, state, snapshot, now_ns) -> (Decision, state)` is the whole contract. The same functions run
in the cluster, in the simulator and in the demo; only the caller differs.
"""
