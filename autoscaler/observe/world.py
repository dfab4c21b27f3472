"""The cluster in memory: runs the watches, answers without asking."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from adapter.sources.kubernetes.api import ApiReader, Json
from adapter.sources.kubernetes.label_selector import LabelSelector
from adapter.sources.kubernetes.list_watch import Key as ObjectKey
from adapter.sources.kubernetes.list_watch import ListWatch
from adapter.sources.kubernetes.pod_record import PodRecord
from adapter.sources.series import PodKey
from autoscaler.autoscaler import Autoscaler
from autoscaler.cluster import Key
from autoscaler.crd.parse import parse_spec
from autoscaler.crd.spec import ScaleTargetRef
from autoscaler.node_pools.seen import NodeNow, parse_node
from autoscaler.observe import autoscaler_object, hpa_seen, scaled_object
from autoscaler.observe.autoscaler_object import Parse, asks_for_the_same, autoscaler_of
from autoscaler.observe.hpa_seen import HpaSeen, TargetName
from autoscaler.observe.pod_index import PodIndex
from autoscaler.observe.pod_seen import PodSeen, WatchedPod, watched_pod
from autoscaler.observe.scaled_object import ScaledObjectSeen

_log = logging.getLogger(__name__)
_ZONE_LABELS = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
T = TypeVar("T", HpaSeen, ScaledObjectSeen)


def _nothing(_: Any) -> None:
    """Of a hook that nobody uses."""


class World:
    """PredictiveAutoscalers, pods, nodes, HPAs and ScaledObjects. `run` follows them until it is cancelled.

    Hooks, none of which may wait: on_pod, on_node, on_event: each object as it came, before it is kept; after a break
    the same ones come again. on_pod_gone. on_autoscaler_changed: its spec or annotations are others, or it came or
    went; a status alone is none.
    """

    def __init__(
        self,
        client: ApiReader,
        *,
        namespaces: Sequence[str] = (),
        parse: Parse = parse_spec,
        watch_options: Mapping[str, Any] | None = None,
    ) -> None:
        """namespaces: to watch; none means all. watch_options: for ListWatch: its clocks, sleep and chance."""
        self.on_pod: Callable[[Json], None] = _nothing
        self.on_pod_gone: Callable[[PodKey], None] = _nothing
        self.on_node: Callable[[Json], None] = _nothing
        self.on_event: Callable[[Json], None] = _nothing
        self.on_autoscaler_changed: Callable[[Key], None] = _nothing
        self._parse = parse
        self._autoscalers: dict[Key, Autoscaler] = {}
        self._nodes: dict[str, NodeNow] = {}
        self._index = PodIndex()
        self._hpas = _OnTarget[HpaSeen]()
        self._scaled_objects = _OnTarget[ScaledObjectSeen]()
        self.autoscalers: Mapping[Key, Autoscaler] = MappingProxyType(self._autoscalers)
        self.nodes: Mapping[str, NodeNow] = MappingProxyType(self._nodes)
        self.pods: Mapping[PodKey, PodSeen] = self._index.pods

        def watches(group: str, resource: str, **options: Any) -> list[ListWatch[Any]]:
            where = [f"namespaces/{namespace}/" for namespace in dict.fromkeys(namespaces)] or [""]
            options = {"component": "controller", **(watch_options or {}), **options}
            return [ListWatch(client, f"{group}/{prefix}{resource}", **options) for prefix in where]

        self._required = [
            *watches(
                autoscaler_object.PATH,
                autoscaler_object.RESOURCE,
                prune=self._autoscaler,
                on_change=self._autoscaler_changed,
            ),
            *watches("/api/v1", "pods", prune=self._pod, on_change=self._pod_changed),
        ]
        self._others = [
            ListWatch(
                client,
                "/api/v1/nodes",
                prune=self._node,
                on_change=self._node_changed,
                **{"component": "controller", **(watch_options or {})},
            ),
            *watches(hpa_seen.PATH, "horizontalpodautoscalers", prune=hpa_seen.hpa_seen, on_change=self._hpas.changed),
            *watches(
                scaled_object.PATH,
                "scaledobjects",
                prune=scaled_object.scaled_object_seen,
                on_change=self._scaled_objects.changed,
            ),
            *watches("/api/v1", "events", prune=self._event, field_selector="involvedObject.kind=Pod"),
        ]

    async def run(self) -> None:
        """Follow the cluster until cancelled."""
        async with asyncio.TaskGroup() as group:
            for watch in self._watches():
                group.create_task(watch.run(), name=f"watch {watch.path}")

    @property
    def synced(self) -> bool:
        """Whether all PredictiveAutoscalers and pods are known, and the rest was tried once: refused HPAs or events, or
        KEDA that is not installed, hold nothing up."""
        return all(watch.synced for watch in self._required) and all(watch.settled for watch in self._watches())

    @property
    def faults(self) -> tuple[str, ...]:
        """What is out of reach at present, since when, and the remedy."""
        absent = (
            f"{watch.path} is not served: install the CustomResourceDefinition "
            f"{autoscaler_object.RESOURCE}.autoscaling.leadtime.dev"
            for watch in self._required
            if watch.absent
        )
        return (*absent, *(watch.fault for watch in self._watches() if watch.fault is not None))

    def pods_of(self, namespace: str, selector: LabelSelector) -> tuple[PodSeen, ...]:
        """The pods that a selector selects, by name, those included that are ending or have ended."""
        return self._index.selected(namespace, selector)

    def pods_on(self, node: str) -> tuple[PodSeen, ...]:
        """The pods that have this node, by namespace and name."""
        return self._index.on_node(node)

    def page_record(self, pod: PodKey) -> PodRecord | None:
        """What it takes to find the pod's metrics page; None for one that is ending or not known."""
        return self._index.record(pod)

    def hpas_on(self, namespace: str, ref: ScaleTargetRef) -> tuple[HpaSeen, ...]:
        """The HPAs that scale this object, by name, whichever version of its API they name."""
        return self._hpas.on(_target(namespace, ref))

    def scaled_objects_on(self, namespace: str, ref: ScaleTargetRef) -> tuple[ScaledObjectSeen, ...]:
        """The same of KEDA's ScaledObjects."""
        return self._scaled_objects.on(_target(namespace, ref))

    def _watches(self) -> Iterator[ListWatch[Any]]:
        yield from self._required
        yield from self._others

    def _autoscaler(self, item: Json) -> Autoscaler:
        metadata = item["metadata"]
        return autoscaler_of(item, self._parse, self._autoscalers.get(Key(metadata["namespace"], metadata["name"])))

    def _autoscaler_changed(self, at: ObjectKey, autoscaler: Autoscaler | None) -> None:
        key = Key(*at)
        before = self._autoscalers.pop(key, None)
        if autoscaler is not None:
            self._autoscalers[key] = autoscaler
        if not asks_for_the_same(before, autoscaler):
            _told(self.on_autoscaler_changed, key)

    def _pod(self, item: Json) -> WatchedPod:
        _told(self.on_pod, item)
        return watched_pod(item)

    def _pod_changed(self, at: ObjectKey, watched: WatchedPod | None) -> None:
        self._index.pod_changed(PodKey(*at), watched)
        if watched is None:
            _told(self.on_pod_gone, PodKey(*at))

    def _node(self, item: Json) -> NodeNow:
        _told(self.on_node, item)
        return parse_node(item)

    def _node_changed(self, at: ObjectKey, node: NodeNow | None) -> None:
        _, name = at
        labels = {} if node is None else node.labels
        self._index.zone_changed(name, next((labels[label] for label in _ZONE_LABELS if label in labels), ""))
        if node is None:
            self._nodes.pop(name, None)
        else:
            self._nodes[name] = node

    def _event(self, item: Json) -> None:
        """Events are told and not kept."""
        _told(self.on_event, item)


class _OnTarget(Generic[T]):
    """Objects by whom they scale."""

    def __init__(self) -> None:
        self._objects: dict[ObjectKey, T] = {}
        self._by_target: dict[TargetName, dict[str, T]] = {}

    def changed(self, at: ObjectKey, seen: T | None) -> None:
        before = self._objects.pop(at, None)
        if before is not None:
            siblings = self._by_target[before.target]
            del siblings[before.key.name]
            if not siblings:
                del self._by_target[before.target]
        if seen is not None:
            self._objects[at] = seen
            self._by_target.setdefault(seen.target, {})[seen.key.name] = seen

    def on(self, target: TargetName) -> tuple[T, ...]:
        found = self._by_target.get(target, {})
        return tuple(found[name] for name in sorted(found))


def _target(namespace: str, ref: ScaleTargetRef) -> TargetName:
    return hpa_seen.target_name(namespace, {"apiVersion": ref.api_version, "kind": ref.kind, "name": ref.name})


def _told(hook: Callable[[Any], None], value: Any) -> None:
    """A hook's fault is its own: what is watched must be kept all the same."""
    try:
        hook(value)
    except Exception:
        _log.exception("a listener of the watches failed on %s", _name(value))


def _name(value: Any) -> object:
    return (value.get("metadata") or {}).get("name") if isinstance(value, dict) else value
