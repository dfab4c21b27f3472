"""From a profile and how its servers are started to the engine's numbers."""

from typing import TYPE_CHECKING

from policies.capacity.profile import Profile
from simulations.engine import ServerModel

if TYPE_CHECKING:
    from simulations.scenario import Disaggregation, Serving


def server_model(profile: Profile, serving: "Serving", split: "Disaggregation | None") -> ServerModel:
    """One kind of server."""
    return ServerModel(
        base=profile.base_seconds,
        per_prefill_token=profile.per_prefill_token_seconds,
        per_decode_seq=profile.per_decode_seq_seconds,
        per_kv_token=profile.per_kv_token_seconds,
        per_prefill_context_token=profile.per_prefill_context_token_seconds,
        overhead=profile.request_overhead_seconds,
        kv_blocks=profile.kv_blocks,
        max_num_seqs=profile.max_num_seqs,
        max_num_batched_tokens=profile.max_num_batched_tokens,
        max_loras=serving.max_loras,
        lora_load_seconds=serving.lora_load_seconds,
        prefix_caching=serving.prefix_caching,
        priority_scheduling=serving.priority_scheduling,
        transfer_seconds_per_token=profile.kv_bytes_per_token / split.transfer_bytes_per_second if split else None,
    )
