"""How long one batch takes: affine in what is in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policies.errors import BadInput


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProfile:
    """One model on one kind of accelerator. A batch of n requests lasts

        base_seconds + per_item_seconds * n + per_prompt_token_seconds * P + per_output_token_seconds * Q
                     + per_output_step_seconds * L

    for P prompt and Q output tokens in all its requests, and L output tokens of the longest of them: a batch that
    generates text runs until its longest answer is done. Nothing is streamed, so all its answers come at its end.

    The time does not depend on batches of other instances on the same GPU: for n instances, take a profile that was
    measured with n busy ones. source: where the numbers come from, and how well they fit.
    """

    name: str
    base_seconds: float
    per_item_seconds: float
    per_prompt_token_seconds: float = 0.0
    per_output_token_seconds: float = 0.0
    per_output_step_seconds: float = 0.0
    source: str

    def __post_init__(self) -> None:
        for field in (
            "base_seconds",
            "per_item_seconds",
            "per_prompt_token_seconds",
            "per_output_token_seconds",
            "per_output_step_seconds",
        ):
            value = getattr(self, field)
            if not 0 <= value < float("inf"):
                raise BadInput(f"{field}: was {value}, must be 0 or more and finite; give seconds as measured")
        if self.batch_seconds([1], [1]) <= 0:
            raise BadInput("base_seconds: a batch of one request must last longer than 0 s; give a positive base")

    def batch_seconds(self, prompt_tokens: Sequence[int], output_tokens: Sequence[int]) -> float:
        """One batch, of requests with these tokens; both of the same length, 1 or more."""
        return (
            self.base_seconds
            + self.per_item_seconds * len(prompt_tokens)
            + self.per_prompt_token_seconds * sum(prompt_tokens)
            + self.per_output_token_seconds * sum(output_tokens)
            + self.per_output_step_seconds * max(output_tokens)
        )


def fitted_profile(name: str, measured: Sequence[tuple[int, float]], source: str) -> BatchProfile:
    """The affine profile of measured (batch size, seconds of one batch), and its worst error in `source`.

    Least squares of the relative errors, so that small batches count as much as large ones. At least two sizes.
    Raises BadInput.
    """
    sizes = np.array([size for size, _ in measured], np.float64)
    seconds = np.array([one for _, one in measured], np.float64)
    if len(set(sizes.tolist())) < 2 or sizes.min() < 1 or seconds.min() <= 0:
        raise BadInput(
            f"measured: was {list(measured)}, must be two batch sizes or more, each 1 or more and longer than 0 s"
        )
    columns = np.column_stack([np.ones_like(sizes), sizes]) / seconds[:, None]
    base, per_item = np.linalg.lstsq(columns, np.ones_like(sizes), rcond=None)[0].tolist()
    if base < 0 or per_item < 0:
        raise BadInput(
            f"measured: {list(measured)} fits base {base:.3g} s and {per_item:.3g} s an item, must both be 0 or more; "
            "measure more sizes, or give the profile's coefficients by hand"
        )
    worst = float(np.max(np.abs((base + per_item * sizes) / seconds - 1)))
    return BatchProfile(
        name=name,
        base_seconds=base,
        per_item_seconds=per_item,
        source=f"{source}; affine within {worst:.1%} for batches of {sizes.min():.0f} to {sizes.max():.0f}",
    )
