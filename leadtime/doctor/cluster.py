"""Everything that the checks look at, read from a cluster with the user's own rights. Nothing is written."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from adapter.sources.kubernetes.api import ApiError, ApiReader
from autoscaler.autoscaler import Autoscaler
from autoscaler.crd.custom_resource import API_VERSION, GROUP, PLURAL
from autoscaler.observe.hpa_seen import TargetName
from autoscaler.observe.resources import Resources
from autoscaler.observe.target_error import TargetError
from leadtime.doctor.gathered import Clocks, Gathered, Json, MetricAnswer, Right
from leadtime.doctor.installation import CONTROLLER, NAMESPACE
from leadtime.doctor.metric_answers import metric_answers
from leadtime.doctor.rights import needed_rights
from leadtime.explain_autoscaler import from_leader

_AT_A_TIME = 8
_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_USER = f"system:serviceaccount:{NAMESPACE}:{CONTROLLER}"
_GROUPS = ["system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}", "system:authenticated"]
T = TypeVar("T")


class Client(ApiReader, Protocol):
    """What is needed of KubeClient."""

    async def post(self, path: str, body: Any, *, timeout_seconds: float = 10.0) -> dict[str, Any]: ...


async def gather(client: Client, namespace: str | None, clocks: Clocks | None) -> Gathered:
    """namespace: of the objects; None means all."""
    return await _Gathering(client, namespace, clocks).all()


class _Gathering:
    """One reading. unread: what was refused and why; what is not there is no fault here."""

    def __init__(self, client: Client, namespace: str | None, clocks: Clocks | None) -> None:
        self._client = client
        self._where = f"namespaces/{namespace}/" if namespace else ""
        self._clocks = clocks
        self._unread: dict[str, str] = {}
        self._gate = asyncio.Semaphore(_AT_A_TIME)
        self._resources = Resources(client)
        self._page_is_away = False

    async def all(self) -> Gathered:
        where = self._where
        autoscalers = await self._listed("PredictiveAutoscaler", f"/apis/{API_VERSION}/{where}{PLURAL}")
        objects = Gathered(source="cluster", autoscalers=autoscalers)
        hpas = await self._listed("HorizontalPodAutoscaler", f"/apis/autoscaling/v2/{where}horizontalpodautoscalers")
        scaled = await self._listed("ScaledObject", f"/apis/keda.sh/v1alpha1/{where}scaledobjects")
        quotas = await self._listed("ResourceQuota", f"/api/v1/{where}resourcequotas")
        classes = await self._listed("PriorityClass", "/apis/scheduling.k8s.io/v1/priorityclasses")
        services = await self._listed("APIService", "/apis/apiregistration.k8s.io/v1/apiservices")
        groups = await self._one("API groups", "/apis")
        crd = await self._one(
            "CustomResourceDefinition", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{PLURAL}.{GROUP}"
        )
        controller = await self._one(
            f"Deployment {CONTROLLER}", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{CONTROLLER}"
        )
        lease = await self._one(
            f"Lease {CONTROLLER}", f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{CONTROLLER}"
        )
        targets = list(objects.targets())
        workloads = dict(await self._each(self._workload, targets))
        rights = await self._rights(objects.objects)
        metrics = [one for several in await self._each(self._metrics, targets) for one in several]
        loads = dict(found for found in await self._each(self._load, targets) if found is not None)
        return Gathered(
            source="cluster",
            autoscalers=autoscalers,
            hpas=hpas,
            scaled_objects=scaled,
            workloads={target: found for target, found in workloads.items() if found is not None},
            quotas=quotas,
            priority_classes=_unless("PriorityClass", self._unread, frozenset(map(_name, classes))),
            crd=crd,
            api_groups=None if groups is None else frozenset(each["name"] for each in groups.get("groups") or ()),
            api_services=_unless("APIService", self._unread, {_name(each): each for each in services}),
            controller=controller,
            lease=lease,
            clocks=self._clocks,
            rights=rights,
            metrics=tuple(metrics),
            load_seconds=loads,
            unread=self._unread,
        )

    async def _one(self, what: str, path: str) -> Json | None:
        try:
            async with self._gate:
                return await self._client.get(path)
        except ApiError as error:
            if error.status == 0:
                raise  # the cluster is away: nothing else can be said
            if error.status != 404:
                self._unread[what] = str(error)
            return None

    async def _listed(self, what: str, path: str) -> tuple[Json, ...]:
        answer = await self._one(what, path)
        return () if answer is None else tuple(answer.get("items") or ())

    async def _each(self, read: Callable[[Any], Any], things: Iterable[Any]) -> list[Any]:
        return list(await asyncio.gather(*(read(each) for each in things)))

    async def _workload(self, one: tuple[Autoscaler, TargetName]) -> tuple[TargetName, Json | None]:
        autoscaler, target = one
        assert autoscaler.spec is not None
        what = f"{target.kind} {target.namespace}/{target.name}"
        try:
            resource = await self._resources.find(autoscaler.spec.scale_target_ref)
        except TargetError as error:
            if error.reason != "NotFound":
                self._unread[what] = error.message
            return target, None
        found = await self._one(what, resource.path(target.namespace, target.name))
        return target, None if found is None else {"kind": target.kind, **found}

    async def _rights(self, objects: Iterable[Autoscaler]) -> Mapping[Right, bool]:
        """Asked of the API server for the controller's account; empty where the user may not ask for others."""
        plurals = {}
        for each in objects:
            if each.spec is not None:
                reference = each.spec.scale_target_ref
                try:
                    resource = await self._resources.find(reference)
                except TargetError:
                    continue
                plurals[resource.group, reference.kind] = resource.plural
        wanted = needed_rights(objects, plurals)
        try:
            answers = await self._each(self._may, wanted)
        except ApiError as error:
            if error.status == 0:
                raise
            self._unread[f"rights of {_USER}"] = str(error)
            return {}
        return dict(zip(wanted, answers, strict=True))

    async def _may(self, right: Right) -> bool:
        attributes = {
            "group": right.group,
            "resource": right.resource,
            "subresource": right.subresource,
            "verb": right.verb,
            "namespace": right.namespace,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": _USER, "groups": _GROUPS, "resourceAttributes": attributes},
        }
        async with self._gate:
            answer = await self._client.post(_REVIEWS, review)
        return bool((answer.get("status") or {}).get("allowed"))

    async def _metrics(self, one: tuple[Autoscaler, TargetName]) -> tuple[MetricAnswer, ...]:
        async with self._gate:
            return await metric_answers(self._client, self._resources, one[0], self._clocks)

    async def _load(self, one: tuple[Autoscaler, TargetName]) -> tuple[tuple[str, str], float] | None:
        """The longest median of a path's loads, as the controller learned it; None where it is not reachable."""
        key = one[0].key
        async with self._gate:
            if self._page_is_away:
                return None
            page, note = await from_leader(self._client, key.namespace, key.name)
            self._page_is_away = bool(note)
        paths = ((page or {}).get("leadTimes") or {}).get("paths") or ()
        loads = [path["steps"]["loadSeconds"] for path in paths if path["steps"].get("loadSeconds")]
        return ((key.namespace, key.name), max(loads)) if loads else None


def _name(each: Json) -> str:
    return str((each.get("metadata") or {}).get("name", ""))


def _unless(what: str, unread: Mapping[str, str], value: T) -> T | None:
    return None if what in unread else value
