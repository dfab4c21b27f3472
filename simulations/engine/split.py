"""Requests split between two models of server by weight, as a gateway splits a route between two backends.

Gateway API v1 HTTPRoute, `backendRefs[].weight`: a backend gets weight / (sum of all weights) of the requests, however
many endpoints it has; which endpoint of it is the load balancer's affair. So each request is drawn on its own, by a
hash of its number: the same run draws the same, whatever its servers do meanwhile.
"""

from typing import Any

import numpy as np

from simulations.engine.cells import open_at, request_at, server_at
from simulations.engine.features import feature
from simulations.engine.layout import DECODE, NONE, PREFILL
from simulations.engine.random_words import GOLDEN, uniform, word_of

ANY, SPLIT, OTHER = range(3)
"""Which servers a request may go to: all, those of the split model, the others."""


@feature(otherwise=ANY)
def model_of_request(w: Any, request: int) -> int:
    """ANY, SPLIT or OTHER. Where only one side has an open server for the request's phase, that side."""
    if w.split_model == NONE:
        return ANY
    excluded = PREFILL if request_at(w, request).remote else DECODE
    inside = 0
    outside = 0
    for index in range(w.open_count):
        server = server_at(w, open_at(w, index).index)
        if server.role != excluded:
            if server.model == w.split_model:
                inside += 1
            else:
                outside += 1
    if inside == 0 or outside == 0:
        return ANY
    stream = word_of(np.uint64(w.split_seed))
    drawn = uniform(stream + np.uint64(request_at(w, request).number) * GOLDEN)
    return SPLIT if drawn < w.split_share else OTHER


@feature(otherwise=False)
def is_other_model(w: Any, row: int, wanted: int) -> bool:
    """Whether a server is on the side that the request is not for."""
    if wanted == ANY:
        return False
    return bool((server_at(w, row).model == w.split_model) != (wanted == SPLIT))
