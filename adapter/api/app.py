"""Every request's way: who asks, what for, the answer as bytes. It reads memory only.

Two things may make a request wait: a caller whom the API server has not vouched for within the last seconds, and
a name that is passed on to another external-metrics server.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeAlias

from adapter.api.answers import KeptAnswers
from adapter.api.custom_metrics import custom_metrics
from adapter.api.discovery import DiscoveryDocuments
from adapter.api.explain import explain
from adapter.api.external_metrics import external_metrics
from adapter.api.openapi import OpenApiDocuments
from adapter.api.query import CustomQuery, ExternalQuery, parse_query
from adapter.api.served import Served
from adapter.api.status import StatusError, json_response, status_response
from adapter.auth.gate import Gate
from adapter.auth.identity import User
from adapter.auth.refusal import Refused
from adapter.clock import Clock
from adapter.http_server.refusal import status_body
from adapter.http_server.request import Request
from adapter.http_server.response import response
from adapter.metrics import AdapterMetrics
from adapter.names.on_demand import is_on_demand
from adapter.sources.rule import Rule
from adapter.sources.series import PodKey

Api: TypeAlias = Literal["custom", "external", "discovery", "openapi", "explain", "other"]
PassOn: TypeAlias = Callable[[bytes, User], Awaitable[bytes]]
"""(request target, who asks) -> another server's answer."""

_TEXT = "text/plain; charset=utf-8"
_PAGE = "text/plain; version=0.0.4; charset=utf-8"
_ROOT_PATHS = ("/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz")
_NO_SUCH_RESOURCE = "the server could not find the requested resource"


class App:
    """The handler of the HTTP server. discovery is replaced when the rules change."""

    def __init__(
        self,
        *,
        served: Served,
        gate: Gate,
        clock: Clock,
        metrics: AdapterMetrics,
        discovery: DiscoveryDocuments,
        not_ready: Callable[[], str],
        sources: Callable[[Rule], list[dict[str, object]]],
        pages: Callable[[Sequence[PodKey]], list[dict[str, object]]],
        pass_on: PassOn | None = None,
    ) -> None:
        """not_ready: what is still awaited, "" when ready. sources: what is known of a rule's sources. pages: what is
        known of pods' metrics pages."""
        self.discovery = discovery
        self._served = served
        self._gate = gate
        self._clock = clock
        self._metrics = metrics
        self._openapi = OpenApiDocuments.of()
        self._not_ready = not_ready
        self._sources = sources
        self._pages = pages
        self._pass_on = pass_on
        self._kept = KeptAnswers(served.store)

    def handle(self, request: Request) -> bytes | Awaitable[bytes]:
        """A complete answer, at once wherever nobody else must be asked."""
        started = time.perf_counter()
        try:
            user = self._gate.check(request)
        except Refused as refused:
            return self._counted("other", _refusal(refused), started)
        if not isinstance(user, User):
            return self._when_known(request, user, started)
        return self._answer(request, user, started)

    async def _when_known(self, request: Request, user: Awaitable[User], started: float) -> bytes:
        try:
            known = await user
        except Refused as refused:
            return self._counted("other", _refusal(refused), started)
        answer = self._answer(request, known, started)
        return answer if isinstance(answer, bytes) else await answer

    def _answer(self, request: Request, user: User, started: float) -> bytes | Awaitable[bytes]:
        now_ns = self._clock.now_ns()
        kept = self._kept.get(request.target, self._served.names, now_ns) if request.method == "GET" else None
        if kept is not None:
            return self._counted("external" if b"/external." in request.target else "custom", kept, started)
        api: Api = "other"
        try:
            _check_method(request)
            query = parse_query(request.segments, request.query)
            if query is None:
                api, answer = self._document(request)
                return self._counted(api, answer, started)
            if query.explain:
                api = "explain"
                body = explain(self._served, query, now_ns, sources=self._sources, pages=self._pages)
                return self._counted(api, json_response(body), started)
            api = "external" if isinstance(query, ExternalQuery) else "custom"
            if self._pass_on is not None and isinstance(query, ExternalQuery) and not self._is_ours(query, now_ns):
                return self._passed_on(self._pass_on, request, user, started)
            return self._counted(api, self._values(request, query, now_ns), started)
        except StatusError as error:
            return self._counted(api, status_response(error), started)

    def _values(self, request: Request, query: CustomQuery | ExternalQuery, now_ns: int) -> bytes:
        if isinstance(query, ExternalQuery):
            found = external_metrics(self._served, query, now_ns)
        else:
            found = custom_metrics(self._served, query, now_ns)
        answer = json_response(found.body)
        if not is_on_demand(found.table.rule):  # which must hear of each request, or it counts as unasked
            self._kept.put(request.target, self._served.names, answer, found.table, found.until_ns)
        return answer

    def _is_ours(self, query: ExternalQuery, now_ns: int) -> bool:
        return self._served.resolve(query.metric, query.label_selector, api="external", now_ns=now_ns) is not None

    async def _passed_on(self, pass_on: PassOn, request: Request, user: User, started: float) -> bytes:
        return self._counted("external", await pass_on(request.target, user), started)

    def _document(self, request: Request) -> tuple[Api, bytes]:
        """Whatever is not a value. Raises StatusError NotFound."""
        path = request.path
        accept, tag = _text(request, b"accept"), _text(request, b"if-none-match")
        match path:
            case "/healthz" | "/livez":
                return "other", response(200, b"ok", _TEXT)
            case "/readyz":
                awaited = self._not_ready()
                return "other", response(503 if awaited else 200, (awaited or "ok").encode(), _TEXT)
            case "/metrics":
                return "other", response(200, self._metrics.page(), _PAGE)
            case "/":
                return "discovery", json_response({"paths": list(_ROOT_PATHS)})
        found = self.discovery.answer(path, accept, tag)
        if found is not None:
            return "discovery", found
        found = self._openapi.answer(path, accept, tag, request.query.get("hash", ""))
        if found is not None:
            return "openapi", found
        raise StatusError("NotFound", _NO_SUCH_RESOURCE)

    def _counted(self, api: Api, answer: bytes, started: float) -> bytes:
        self._metrics.requests.observe(api, int(answer[9:12]), time.perf_counter() - started)
        return answer


def _check_method(request: Request) -> None:
    if request.method not in ("GET", "HEAD"):
        raise StatusError("MethodNotAllowed", "the server does not allow this method on the requested resource")


def _refusal(refused: Refused) -> bytes:
    return response(refused.code, status_body(refused.code, refused.reason, str(refused), refused.details))


def _text(request: Request, name: bytes) -> str:
    value = request.header(name)
    return value.decode("latin-1") if value is not None else ""
