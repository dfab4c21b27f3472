"""NVIDIA Dynamo's SLA planner, version 2, for aggregated engines: its two loops as two policies.

    dynamo-throughput   forecast and engine capacity, every 180 s: upstream's default of the SLA target
    dynamo-load         estimated latencies, every 5 s, one replica at a time; with the other as a floor if asked for

What they restate, and from where, is in `dynamo_throughput` and `dynamo_load`; what they share is in
`dynamo_forecast` (needs the extra `rivals`) and `dynamo_capacity`.
"""

from policies.baselines import dynamo_load, dynamo_throughput

ENTRIES = (dynamo_throughput.ENTRY, dynamo_load.ENTRY)
