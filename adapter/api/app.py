"""The adapter's HTTP application: routes, errors, who may pass. It reads memory only."""

import logging
import time
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from adapter.api import discovery
from adapter.api.custom_metrics import PodQuery, metric_value_list
from adapter.api.discovery import CUSTOM_GROUP, EXTERNAL_GROUP
from adapter.api.external_metrics import external_metric_value_list
from adapter.api.selector import BadSelector, Selector, parse_selector
from adapter.api.status import StatusError, internal_error_response, json_response, status_response
from adapter.auth.client_certificate import Authenticate
from adapter.clock import Clock
from adapter.metrics import AdapterMetrics
from adapter.store import Store

logger = logging.getLogger(__name__)
_OPEN_PATHS = ("/healthz", "/livez", "/readyz")


def make_app(
    *,
    store: Store,
    clock: Clock,
    authenticate: Authenticate,
    ready: Callable[[], bool],
    metrics: AdapterMetrics,
) -> web.Application:
    """The application. ready: whether the first collection is complete."""
    app = web.Application(middlewares=[_answer_and_count(metrics), _only_known_clients(authenticate)])
    values = _Values(store, clock)

    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(_: web.Request) -> web.Response:
        if ready():
            return web.Response(text="ok")
        return web.Response(status=503, text="no collection is complete yet")

    async def own_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics.page(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    app.add_routes(
        [
            web.get("/healthz", alive),
            web.get("/livez", alive),
            web.get("/readyz", readyz),
            web.get("/metrics", own_metrics),
            web.get("/apis", _group_list),
            web.get("/apis/{group}", _group),
            web.get("/apis/{group}/{version}", _resource_list),
            web.get(
                f"/apis/{CUSTOM_GROUP}/{{version}}/namespaces/{{namespace}}/{{resource}}/{{name}}/{{metric}}",
                values.custom,
            ),
            web.get(f"/apis/{EXTERNAL_GROUP}/{{version}}/namespaces/{{namespace}}/{{metric}}", values.external),
        ]
    )
    return app


class _Values:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def custom(self, request: web.Request) -> web.Response:
        version, resource = request.match_info["version"], request.match_info["resource"]
        if version not in discovery.VERSIONS[CUSTOM_GROUP]:
            raise _no_such_resource()
        query = PodQuery(
            namespace=request.match_info["namespace"],
            name=request.match_info["name"],
            metric=request.match_info["metric"],
            pod_selector=_selector(request, "labelSelector"),
            metric_selector=_selector(request, "metricLabelSelector"),
        )
        if resource != "pods":
            named = "" if query.name == "*" else f" {query.name}"
            raise StatusError("NotFound", f"the server could not find the metric {query.metric} for {resource}{named}")
        return json_response(metric_value_list(self._store, query, version=version, now_ns=self._clock.now_ns()))

    async def external(self, request: web.Request) -> web.Response:
        if request.match_info["version"] not in discovery.VERSIONS[EXTERNAL_GROUP]:
            raise _no_such_resource()
        return json_response(
            external_metric_value_list(
                self._store,
                namespace=request.match_info["namespace"],
                metric=request.match_info["metric"],
                selector=_selector(request, "labelSelector"),
                now_ns=self._clock.now_ns(),
            )
        )


async def _group_list(_: web.Request) -> web.Response:
    return json_response(discovery.group_list())


async def _group(request: web.Request) -> web.Response:
    name = request.match_info["group"]
    if name not in discovery.VERSIONS:
        raise _no_such_resource()
    return json_response(discovery.group(name))


async def _resource_list(request: web.Request) -> web.Response:
    name, version = request.match_info["group"], request.match_info["version"]
    if version not in discovery.VERSIONS.get(name, ()):
        raise _no_such_resource()
    return json_response(discovery.resource_list(name, version))


def _selector(request: web.Request, parameter: str) -> Selector:
    try:
        return parse_selector(request.query.get(parameter, ""))
    except BadSelector as error:
        raise StatusError("BadRequest", f"{parameter}: {error}") from error


def _no_such_resource() -> StatusError:
    return StatusError("NotFound", "the server could not find the requested resource")


def _only_known_clients(authenticate: Authenticate) -> Middleware:
    @web.middleware
    async def only_known_clients(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in _OPEN_PATHS and not authenticate(request):
            raise StatusError("Unauthorized", "Unauthorized")
        return await handler(request)

    return only_known_clients


def _answer_and_count(metrics: AdapterMetrics) -> Middleware:
    @web.middleware
    async def answer_and_count(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every error becomes a Status; one that nobody foresaw is logged here and told to nobody."""
        started = time.perf_counter()
        try:
            response = await handler(request)
        except StatusError as error:
            response = status_response(error)
        except web.HTTPMethodNotAllowed:
            response = status_response(
                StatusError("MethodNotAllowed", "the server does not allow this method on the requested resource")
            )
        except web.HTTPException:  # the router's only other one is 404
            response = status_response(_no_such_resource())
        except Exception:
            logger.exception("request failed: %s", request.rel_url)
            response = internal_error_response()
        metrics.observe_request(response.status, time.perf_counter() - started)
        return response

    return answer_and_count
