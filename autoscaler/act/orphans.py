"""Floors of PredictiveAutoscalers that are gone: found by their annotation, also those deleted while nobody watched."""

from collections.abc import AsyncIterator, Container, Sequence

from adapter.sources.kubernetes.api import ApiError, Json
from autoscaler.act import floor
from autoscaler.act.hpa_object import FLOOR_OF_ANNOTATION
from autoscaler.act.writer import Writer
from autoscaler.cluster import Key
from autoscaler.observe.autoscaler_object import PATH, RESOURCE
from autoscaler.outcome import Acted

_PAGE = 100  # HPAs of a few kB each


async def give_back_orphans(writer: Writer, alive: Container[Key], namespaces: Sequence[str] = ()) -> tuple[Acted, ...]:
    """Undo the floors of objects that are not alive; for a new leader, and from time to time.

    alive: keys of the PredictiveAutoscalers there are; call it only once they are known. One that a watch may not have
    told of yet is asked for before its floor goes. namespaces: to look at, none means all. Raises NotLeader, and
    ApiError where the HPAs cannot be listed; one that cannot be written is told.
    """
    done = []
    for path in [f"namespaces/{each}/" for each in namespaces] or [""]:
        async for hpa in _hpas(writer, f"/apis/autoscaling/v2/{path}horizontalpodautoscalers"):
            metadata = hpa["metadata"]
            owner = (metadata.get("annotations") or {}).get(FLOOR_OF_ANNOTATION)
            if owner is None or Key(metadata["namespace"], owner) in alive:
                continue
            try:
                if await _is_there(writer, Key(metadata["namespace"], owner)):
                    continue
                done.append(await floor.give_back(metadata["namespace"], metadata["name"], writer=writer, of=owner))
            except ApiError as error:
                done.append(Acted(to=f"hpa/{metadata['name']}", error=f"its floor could not be given back: {error}"))
    return tuple(done)


async def _is_there(writer: Writer, key: Key) -> bool:
    """By a list, which takes no right that the watch does not take. Raises ApiError."""
    try:
        found = await writer.get(
            f"{PATH}/namespaces/{key.namespace}/{RESOURCE}", {"fieldSelector": f"metadata.name={key.name}"}
        )
    except ApiError as error:
        if error.status == 404:  # the CRD is gone, and every object with it
            return False
        raise
    return bool(found.get("items"))


async def _hpas(writer: Writer, path: str) -> AsyncIterator[Json]:
    params = {"limit": str(_PAGE)}
    while True:
        page = await writer.get(path, params)
        for hpa in page.get("items") or ():
            yield hpa
        if not (token := (page.get("metadata") or {}).get("continue")):
            return
        params = {**params, "continue": token}
