"""The largest batch, and with it the largest request rate, that one replica sustains within its TPOT target."""

from policies.capacity.profile import Profile


def sustained_batch(profile: Profile, *, prompt_tokens: float, output_tokens: float, tpot_seconds: float) -> float:
    """Requests in the batch at which the mean step time of one replica just meets `tpot_seconds`.

    prompt_tokens, output_tokens: means per request, > 0. tpot_seconds: target, > 0.
    0.0 when even a lone request misses the target.

    A batch of n requests, each read p prompt tokens ago and writing o tokens, advances by one token a step.
    Every step also prefills the arrivals of its own duration: n / o requests of p tokens (Little's law). So

        step(n) = base + n * (p / o * (per_prefill + per_context * p / 2) + per_seq + per_kv * (p + o / 2))

    The KV cache (n contexts of p + o / 2 tokens, on average) and max_num_seqs bound n as well.
    """
    context = prompt_tokens + output_tokens / 2
    batch = min(
        (tpot_seconds - profile.base_seconds) / seconds_per_request(profile, prompt_tokens, output_tokens),
        profile.kv_tokens / context,
        float(profile.max_num_seqs),
    )
    return max(batch, 0.0)


def sustained_requests_per_second(
    profile: Profile, *, prompt_tokens: float, output_tokens: float, tpot_seconds: float
) -> float:
    """Requests per second that one replica answers with its sustained batch: n / (o * step(n)).

    Arguments and the case of 0.0 as for `sustained_batch`.
    """
    batch = sustained_batch(
        profile, prompt_tokens=prompt_tokens, output_tokens=output_tokens, tpot_seconds=tpot_seconds
    )
    step_seconds = profile.base_seconds + batch * seconds_per_request(profile, prompt_tokens, output_tokens)
    return batch / (output_tokens * step_seconds)


def seconds_per_request(profile: Profile, prompt_tokens: float, output_tokens: float) -> float:
    """What one more request in the batch adds to a step: its share of prefills, its own token, its context."""
    return (
        prompt_tokens
        / output_tokens
        * (profile.per_prefill_token_seconds + profile.per_prefill_context_token_seconds * prompt_tokens / 2)
        + profile.per_decode_seq_seconds
        + profile.per_kv_token_seconds * (prompt_tokens + output_tokens / 2)
    )
