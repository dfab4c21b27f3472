"""What all requests of a run come to."""

from dataclasses import dataclass

from simulations.request_rows import NEVER_SENT, OUTCOMES
from simulations.results.percentiles import Percentiles


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTotals:
    """Exact counts; percentiles are exact in memory and within 0.5 % where they were streamed.

    outcomes: requests by outcome code, as `request_rows.OUTCOMES` names them.
    good: served within the SLO.
    prompt_tokens, output_tokens: asked for by every request that was sent.
    served_prompt_tokens, served_output_tokens: of the served ones.
    lost_output_tokens: generated for requests that were not served in the end.
    cached_tokens: prompt tokens of served requests that the prefix cache had.
    preemptions: suffered by all.
    """

    outcomes: tuple[int, ...]
    good: int
    prompt_tokens: int
    output_tokens: int
    served_prompt_tokens: int
    served_output_tokens: int
    lost_output_tokens: int
    cached_tokens: int
    preemptions: int
    ttft: Percentiles
    tpot: Percentiles
    e2e: Percentiles

    @property
    def sent(self) -> int:
        """Requests that arrived at the gateway."""
        return sum(self.outcomes) - self.outcomes[NEVER_SENT]

    def count(self, outcome: str) -> int:
        """Requests with this of OUTCOMES."""
        return self.outcomes[OUTCOMES.index(outcome)]
