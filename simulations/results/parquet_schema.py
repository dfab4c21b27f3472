"""The columns of both Parquet tables, each with its unit and meaning, which the files carry as metadata too."""

import pyarrow as pa

_F, _I, _L = pa.float64(), pa.int32(), pa.int64()


def _field(name: str, kind: pa.DataType, unit: str, meaning: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"unit": unit, "meaning": meaning})


REQUESTS = pa.schema(
    [
        _field("arrival_seconds", _F, "s since start", "reached the gateway; null: never sent", nullable=True),
        _field("enqueued_seconds", _F, "s since start", "reached a server", nullable=True),
        _field("first_token_seconds", _F, "s since start", "the client had its first token", nullable=True),
        _field("finish_seconds", _F, "s since start", "over, one way or another", nullable=True),
        _field("ttft_seconds", _F, "s", "first_token - arrival", nullable=True),
        _field("tpot_seconds", _F, "s", "(finish - first_token) / (output_tokens - 1), served only", nullable=True),
        _field("e2e_seconds", _F, "s", "finish - arrival, served only", nullable=True),
        _field("e2e_limit_seconds", _F, "s", "judged by E2E against this; null: by the run's SLO", nullable=True),
        _field("prompt_tokens", _I, "tokens", "of the prompt"),
        _field("output_tokens", _I, "tokens", "asked for"),
        _field("generated_tokens", _I, "tokens", "generated before it was over; those of unserved ones are lost"),
        _field("cached_tokens", _I, "tokens", "of the prompt, found in the prefix cache", nullable=True),
        _field("preemptions", _I, "1", "times it lost its KV cache and was recomputed"),
        _field("priority", _I, "1", "smaller is served first"),
        _field("lora", _I, "1", "adapter; null: the base model", nullable=True),
        _field("replica", _I, "1", "number of the pod it was last sent to", nullable=True),
        _field("outcome", pa.dictionary(pa.int8(), pa.string()), "", "what became of it"),
        _field("good", pa.bool_(), "", "served within the SLO"),
    ]
)

_LATENCIES = [
    _field(f"{name}_{level}_seconds", _F, "s", f"{level} of {name.upper()} of those with one", nullable=True)
    for name in ("ttft", "tpot", "e2e")
    for level in ("p50", "p90", "p99")
]

_FLEET = [
    _field(name, _I, unit, meaning, nullable=True)
    for name, unit, meaning in (
        ("running", "requests", "in a batch"),
        ("waiting", "requests", "in servers' queues and at the gateway"),
        ("gateway_queue", "requests", "at the gateway"),
        ("replicas", "replicas", "asked for"),
        ("ready_replicas", "replicas", "serving"),
        ("gpus", "GPUs", "of every pod that exists"),
        ("nodes", "nodes", "null where none are simulated"),
    )
]

INTERVALS = pa.schema(
    [
        _field("start_seconds", _F, "s since start", "the minute begins"),
        _field("arrivals", _L, "requests", "that were sent in the minute"),
        _field("finished", _L, "requests", "whose answers were completed in the minute"),
        _field("good", _L, "requests", "of the arrivals, served within the SLO"),
        _field("prompt_tokens", _L, "tokens", "of the arrivals' prompts"),
        _field("output_tokens", _L, "tokens", "that the arrivals asked for"),
        _field("generation_tokens", _L, "tokens", "generated for the arrivals, lost ones included"),
        *_LATENCIES,
        *_FLEET,
    ]
)
