"""May a user do what they ask? The API server decides, by SubjectAccessReview.

Sources: apiserver plugin/pkg/authorizer/webhook/webhook.go, pkg/server/options/authorization.go,
pkg/endpoints/handlers/responsewriters/errors.go.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from adapter.auth.identity import User
from adapter.auth.refusal import Forbidden
from adapter.auth.request_attributes import Attributes
from adapter.auth.review_api import ReviewApi
from adapter.auth.review_cache import ReviewCache
from adapter.auth.settings import AuthorizationSettings

PATH = "/apis/authorization.k8s.io/v1/subjectaccessreviews"

_READING: Final = ("get", "list")
_LONGEST_REMEMBERED: Final = 10_000  # characters of a request's attributes, as in webhook.go: memory stays bounded


class AccessVerdict(NamedTuple):
    """reason: the authorizer's, "" for none."""

    allowed: bool
    reason: str = ""


ALLOWED: Final = AccessVerdict(True)
Question: TypeAlias = tuple[User, Attributes]


class AccessReviews:
    """Asks the API server, and remembers.

    Before a single metric, it asks whether the user may read all of the API group in all namespaces: resource `*`
    with an empty namespace and name, which the API defines as "all" (ResourceAttributes). The HPA controller may
    (ClusterRole system:controller:horizontal-pod-autoscaler), so ten thousand HPAs cost one review each ten seconds
    and not one for each metric of each namespace.
    """

    def __init__(
        self,
        api: ReviewApi,
        settings: AuthorizationSettings,
        *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api = api
        self._always_allowed = frozenset(settings.always_allow_groups)
        self._whole_group_first = settings.ask_for_whole_group_first
        self.cache: ReviewCache[Question, AccessVerdict] = ReviewCache(
            "SubjectAccessReview",
            is_good=lambda verdict: verdict.allowed,
            good_seconds=settings.allow_cache_seconds,
            bad_seconds=settings.deny_cache_seconds,
            max_entries=settings.max_cached_verdicts,
            max_concurrent=settings.max_concurrent_reviews,
            timeout_seconds=settings.review_timeout_seconds,
            monotonic_ns=monotonic_ns,
            sleep=sleep,
        )

    def known(self, user: User, attributes: Attributes) -> AccessVerdict | None:
        """The verdict if it needs no review."""
        if not self._always_allowed.isdisjoint(user.groups):
            return ALLOWED
        wide = self._wider(attributes)
        if wide is not None:
            verdict = self.cache.known((user, wide))
            if verdict is not None and verdict.allowed:
                return verdict
        return self.cache.known((user, attributes))

    async def ask(self, user: User, attributes: Attributes) -> AccessVerdict:
        """The verdict. Raises ReviewFailed where the API server gives none."""
        verdict = self.known(user, attributes)
        if verdict is not None:
            return verdict
        wide = self._wider(attributes)
        if wide is not None and (await self._ask(user, wide)).allowed:
            return ALLOWED
        return await self._ask(user, attributes)

    async def _ask(self, user: User, attributes: Attributes) -> AccessVerdict:
        async def review() -> AccessVerdict:
            answer = await self._api.post(PATH, subject_access_review(user, attributes))
            return parse_subject_access_review(answer.get("status") or {})

        return await self.cache.ask((user, attributes), review, keep=attributes.size < _LONGEST_REMEMBERED)

    def _wider(self, attributes: Attributes) -> Attributes | None:
        if not self._whole_group_first or attributes.path or attributes.verb not in _READING:
            return None
        return _whole_group(attributes.verb, attributes.group)


@lru_cache(maxsize=64)
def _whole_group(verb: str, group: str) -> Attributes:
    return Attributes(verb, group, "*", resource="*")


def subject_access_review(user: User, attributes: Attributes) -> dict[str, Any]:
    """The request's body; parts that are empty are left out.

    Label selectors are left out too: they could only make an authorizer allow more.
    """
    spec: dict[str, Any] = {"user": user.name, "groups": list(user.groups)}
    if user.uid:
        spec["uid"] = user.uid
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra}
    if attributes.path:
        spec["nonResourceAttributes"] = {"path": attributes.path, "verb": attributes.verb}
    else:
        named = attributes._asdict()
        spec["resourceAttributes"] = {name: value for name, value in named.items() if value}
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {}, "spec": spec}


def parse_subject_access_review(status: Mapping[str, Any]) -> AccessVerdict:
    """The verdict in a SubjectAccessReview's status: a denial outweighs everything, no opinion is no."""
    allowed = status.get("allowed") is True and not status.get("denied")
    return AccessVerdict(allowed, str(status.get("reason") or ""))


def forbidden(user: User, attributes: Attributes, reason: str = "") -> Forbidden:
    """The refusal, word for word a Go API server's."""
    why = _escaped(_what_is_forbidden(user, attributes)) + (f": {reason}" if reason else "")
    if attributes.path:
        return Forbidden(f"forbidden: {why}", {})
    resource = f"{attributes.resource}.{attributes.group}" if attributes.group else attributes.resource
    named = f" {go_quoted(attributes.name)}" if attributes.name else ""
    details = {"name": attributes.name, "group": attributes.group, "kind": attributes.resource}
    return Forbidden(f"{resource}{named} is forbidden: {why}", {key: text for key, text in details.items() if text})


def _what_is_forbidden(user: User, attributes: Attributes) -> str:
    who = f"User {go_quoted(user.name)} cannot {attributes.verb}"
    if attributes.path:
        return f"{who} path {go_quoted(attributes.path)}"
    resource = attributes.resource + (f"/{attributes.subresource}" if attributes.subresource else "")
    what = f"{who} resource {go_quoted(resource)} in API group {go_quoted(attributes.group)}"
    if attributes.namespace:
        return f"{what} in the namespace {go_quoted(attributes.namespace)}"
    return f"{what} at the cluster scope"


def _escaped(message: str) -> str:
    return message.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_GO_ESCAPES: Final = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def go_quoted(text: str) -> str:
    """The text as Go's %q writes it (strconv.Quote)."""
    return f'"{"".join(map(_go_character, text))}"'


def _go_character(character: str) -> str:
    if character in _GO_ESCAPES:
        return _GO_ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
