"""The ingredients of leadtime's rule, and how to run it without one of them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np

from policies.predictive import decide, need, sizing, state, within_slo
from policies.predictive.load_traits import RECURSIVE, TRAITS
from policies.predictive.margin import Margin
from policies.predictive.miss_model import MissModel
from policies.predictive.settled import Settled
from policies.predictive.work_factor import WorkFactor

_ASSUMED_LEAD_SECONDS = 240.0
"""PredictiveSpec's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredient:
    """name: as in the table. off: within it the rule runs without. parameters: of the rule, which do so."""

    name: str
    off: Callable[[], AbstractContextManager[object]] = nullcontext
    parameters: Mapping[str, str] = field(default_factory=dict)


def _other(target: object, name: str, value: object) -> Callable[[], AbstractContextManager[object]]:
    return partial(patch.object, target, name, value)


@contextmanager
def _without_traits(*names: str) -> Iterator[None]:
    """These are 0, in decisions and in what is learned from."""
    rows = [TRAITS.index(name) for name in names]

    def without(of: Callable[..., Any]) -> Callable[..., Any]:
        def zeroed(*args: object) -> Any:
            traits = of(*args)
            if traits is not None:
                traits[rows] = 0.0
            return traits

        return zeroed

    with (
        patch.object(need, "traits_at", without(need.traits_at)),
        patch.object(sizing, "all_traits", without(sizing.all_traits)),
    ):
        yield


@contextmanager
def _without_floor() -> Iterator[None]:
    recorded = sizing.recorded

    def without_levels(*args: Any) -> Any:
        recording = recorded(*args)
        return replace(recording, levels=np.zeros_like(recording.levels))

    with patch.object(need, "_floor", lambda *_: 0.0), patch.object(sizing, "recorded", without_levels):
        yield


@contextmanager
def _with_assumed_lead_time() -> Iterator[None]:
    with (
        patch.object(need, "lead_seconds", lambda *_: _ASSUMED_LEAD_SECONDS),
        patch.object(decide, "lead_seconds", lambda *_: _ASSUMED_LEAD_SECONDS),
    ):
        yield


def _traits(*names: str) -> Callable[[], AbstractContextManager[object]]:
    return partial(_without_traits, *names)


INGREDIENTS = (
    Ingredient(name="learned weights: the prior alone", off=_other(decide, "is_due", lambda *_: False)),
    Ingredient(name="aiming at half the misses", off=_other(sizing, "_AIMED", (1.0,))),
    Ingredient(name="the floor: the load of now", off=_without_floor),
    Ingredient(name="the margin by feedback", off=_other(state, "follow", lambda *_, **__: Margin())),
    Ingredient(name="the work of requests", off=_other(WorkFactor, "after", lambda self, **_: self)),
    Ingredient(name="misses counted by room", off=_other(MissModel, "seen", lambda self, **_: self)),
    Ingredient(name="the knee: not twice the fleet for little", off=_other(within_slo, "_knee", lambda _: 0.0)),
    Ingredient(name="counting settled pods only", off=_other(Settled, "is_settled", lambda *_, **__: True)),
    Ingredient(name=f"the learned lead time: {_ASSUMED_LEAD_SECONDS:.0f} s", off=_with_assumed_lead_time),
    Ingredient(name="draining a backlog within a minute: an hour", parameters={"drain_seconds": "3600"}),
    Ingredient(name="the scale-down window", parameters={"scale_down_window_seconds": "0"}),
    Ingredient(name="what came yesterday", off=_traits(*TRAITS[len(RECURSIVE) :])),
    Ingredient(name="fading peaks", off=_traits(*(name for name in TRAITS if "peak_" in name))),
    Ingredient(name="unrest", off=_traits("unrest_1h", "unrest_6h")),
    Ingredient(name="the rise", off=_traits("rise")),
    Ingredient(name="one replica and the square root", off=_traits("one_replica", "square_root")),
    Ingredient(name="levels of now and of 5 min", off=_traits("level_now", "level_300s")),
)
"""In the order in which docs/ablations.md tells them."""
