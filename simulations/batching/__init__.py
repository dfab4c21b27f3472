"""Servers that answer in batches: Triton's dynamic batching, TorchServe's workers, batches of a fixed size.

Read first: rule.py (what a server is told), dynamic.py, collecting.py and fixed.py (when a batch begins), batches.py
(what a batch does), engine.py (the door, with the outside of simulations.engine.Engine).
"""

from simulations.batching.batch_profile import BatchProfile
from simulations.batching.engine import BatchingEngine, engines_of
from simulations.batching.fixed_batch import FixedBatch
from simulations.batching.torchserve import TorchServe
from simulations.batching.triton import Triton

__all__ = ["BatchProfile", "BatchingEngine", "FixedBatch", "TorchServe", "Triton", "engines_of"]
