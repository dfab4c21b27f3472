"""The iteration-level engine: a fleet of vLLM-like servers behind one router, compiled by numba.

Read first: layout.py (the tables), serve.py (the event loop), step.py (one iteration's schedule), plan.py (many
iterations at once), completion.py (what an iteration's end brings). engine.py is the door.
"""

from simulations.engine.engine import Engine, Router, ServerModel

__all__ = ["Engine", "Router", "ServerModel"]
