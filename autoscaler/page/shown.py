"""What the page is made of: the controller's own state, the objects, their history and their lead times."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from autoscaler.autoscaler import Autoscaler
from autoscaler.cluster import Key
from autoscaler.lead_times.summary import Summary
from autoscaler.page.history import History


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerShown:
    """This replica of the controller. identity: its own, as in the Lease; leader: the holder's, "" while unknown.

    is_leader: whether it may write. paused: the whole cluster. faults: what keeps it from seeing the cluster, each
    one sentence with its remedy.
    """

    identity: str
    leader: str
    is_leader: bool
    paused: bool = False
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Asked anew for each answer. autoscalers: as they stand; lead_times: None where a workload is not known."""

    history: History
    autoscalers: Mapping[Key, Autoscaler]
    controller: Callable[[], ControllerShown]
    lead_times: Callable[[Key], Summary | None]
    now_ns: Callable[[], int]
