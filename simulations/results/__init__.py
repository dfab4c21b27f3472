"""What a run gave: per request, per minute, per sync, and in one line."""

from simulations.results.moment import Moment
from simulations.results.recorder import Recorder, Result
from simulations.results.summary import Summary

__all__ = ["Moment", "Recorder", "Result", "Summary"]
