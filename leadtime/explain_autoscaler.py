"""`leadtime explain pa/NAME`: why a workload has the replicas that it has, in words."""

import asyncio
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import aiohttp
import typer

from adapter.sources.kubernetes.api import ApiError
from autoscaler.crd.custom_resource import API_VERSION, PLURAL
from leadtime.cluster_access import ContextOption, KubeconfigOption, NamespaceOption, connected
from leadtime.explain_text import as_text
from policies.errors import BadInput

Json = dict[str, Any]

PROXY = "/api/v1/namespaces/leadtime-system/services/http:leadtime-controller:http/proxy"
"""The controller's page as manifests/controller installs it, through the API server with the user's own rights."""

_TRIES = 5
"""The Service gives one of two replicas at random; the leader's answer also tells what it wrote. Five tries miss it
once in 32 times, and then it is said who answered."""
_TIMEOUT_SECONDS = 5.0
_NAMED = re.compile(r"(?:(?:pa|predictiveautoscalers?)(?:\.autoscaling\.leadtime\.dev)?/)?([a-z0-9][-a-z0-9.]{0,252})")


def explain_command(
    name: Annotated[str, typer.Argument(help="pa/NAME, or NAME alone.")],
    *,
    namespace: NamespaceOption = "default",
    controller: Annotated[
        str | None, typer.Option(help="The controller's page, http://HOST:PORT; default: through the API server.")
    ] = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="What was read, for programs.")] = False,
) -> None:
    """Why a PredictiveAutoscaler's workload has the replicas that it has, and what is not as it should be.

    Reads the object's status and, where it is reachable, the controller's page, with your own rights: get on
    predictiveautoscalers, and on services/proxy in leadtime-system.
    """
    read = asyncio.run(_read(object_name(name), namespace, controller, kubeconfig, context))
    if as_json:
        answer = {"object": read.object, "controller": read.page, "notes": list(read.notes)}
        typer.echo(json.dumps(answer, indent=2))
    else:
        typer.echo(as_text(read.object, read.page, now_seconds=time.time(), notes=read.notes))


def object_name(text: str) -> str:
    """NAME of pa/NAME. Raises BadInput."""
    found = _NAMED.fullmatch(text)
    if found is None:
        raise BadInput(f"NAME: was {text!r}, must be pa/NAME of a PredictiveAutoscaler; `kubectl get pa -A` lists them")
    return found[1]


@dataclass(frozen=True, slots=True)
class Read:
    """object: as the API server has it. page: the controller's answer, None where it gave none; notes say why."""

    object: Json
    page: Json | None
    notes: tuple[str, ...] = ()


class Getter(Protocol):
    async def get(self, path: str, *, timeout_seconds: float = 10.0) -> Json: ...


async def _read(
    name: str, namespace: str, controller: str | None, kubeconfig: Path | None, context: str | None
) -> Read:
    async with connected(kubeconfig, context) as client:
        found = await read_object(client, namespace, name)
        if controller is not None:
            page, note = await _from_address(controller.rstrip("/"), namespace, name)
        else:
            page, note = await from_leader(client, namespace, name)
    return Read(found, page, (note,) if note else ())


async def read_object(client: Getter, namespace: str, name: str) -> Json:
    """Raises BadInput where there is no such object, ApiError otherwise."""
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}/{name}"
    try:
        return await client.get(path)
    except ApiError as error:
        if error.status != 404:
            raise
        if f'"{name}"' in error.message:  # else the whole resource is unknown
            remedy = "`kubectl get pa -A` lists them, `leadtime init` writes one"
        else:
            remedy = "the CRD is not installed; kubectl apply -k manifests/controller/base"
        raise BadInput(f"PredictiveAutoscaler {name} in namespace {namespace}: is not there; {remedy}") from error


async def from_leader(client: Getter, namespace: str, name: str) -> tuple[Json | None, str]:
    """(answer, note): of the leader where one of a few tries meets it, else of whoever answered last."""
    answer: Json | None = None
    for _ in range(_TRIES):
        try:
            path = f"{PROXY}/api/v1/autoscalers/{namespace}/{name}"
            answer = await client.get(path, timeout_seconds=_TIMEOUT_SECONDS)
        except ApiError as error:
            return answer, "" if answer else _unreachable(str(error))
        if answer["controller"]["isLeader"]:
            return answer, ""
    return answer, ""


async def _from_address(address: str, namespace: str, name: str) -> tuple[Json | None, str]:
    url = f"{address}/api/v1/autoscalers/{namespace}/{name}"
    try:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            answer = await response.json(content_type=None)
            if response.status == 200 and isinstance(answer, dict):
                return answer, ""
            return None, _unreachable(f"{url} answered {response.status}")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return None, _unreachable(f"{url}: {error!r}")


def _unreachable(why: str) -> str:
    return (
        f"the controller's page did not answer ({why}), so this is from the object's status alone; name it by "
        "--controller after kubectl port-forward -n leadtime-system svc/leadtime-controller 8080:80"
    )
