"""Bearer tokens, judged by the API server.

Sources: apiserver plugin/pkg/authenticator/token/webhook/webhook.go, pkg/authentication/token/cache,
pkg/authentication/request/bearertoken.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from adapter.auth.identity import User, authenticated
from adapter.auth.review_api import ReviewApi
from adapter.auth.review_cache import ReviewCache
from adapter.auth.settings import AuthenticationSettings

PATH = "/apis/authentication.k8s.io/v1/tokenreviews"


class TokenVerdict(NamedTuple):
    """user: whose token it is, None if it is not good; `why` is then the API server's reason."""

    user: User | None
    why: str = ""


def bearer_token(authorization: Sequence[bytes]) -> str | None:
    """The token of an Authorization header's (first) value, None without one."""
    parts = authorization[0].strip().split(b" ", 2) if authorization else []
    if len(parts) < 2 or parts[0].lower() != b"bearer" or not parts[1]:
        return None
    return parts[1].decode("utf-8", "replace")


class TokenReviews:
    """Asks the API server whose a token is. Tokens are remembered only by a keyed hash."""

    def __init__(
        self,
        api: ReviewApi,
        settings: AuthenticationSettings,
        *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api = api
        self._audiences = settings.token_audiences
        self._hash_key = secrets.token_bytes(32)
        self.cache: ReviewCache[bytes, TokenVerdict] = ReviewCache(
            "TokenReview",
            is_good=lambda verdict: verdict.user is not None,
            good_seconds=settings.token_cache_seconds,
            bad_seconds=settings.refused_token_cache_seconds,
            max_entries=settings.max_cached_tokens,
            max_concurrent=settings.max_concurrent_reviews,
            timeout_seconds=settings.review_timeout_seconds,
            monotonic_ns=monotonic_ns,
            sleep=sleep,
        )

    def known(self, token: str) -> TokenVerdict | None:
        """The verdict on a token if it is in memory."""
        return self.cache.known(self._hash(token))

    def ask(self, token: str) -> Awaitable[TokenVerdict]:
        """The verdict on a token. Raises ReviewFailed where the API server gives none."""
        return self.cache.ask(self._hash(token), lambda: self._review(token))

    async def _review(self, token: str) -> TokenVerdict:
        spec: dict[str, object] = {"token": token}
        if self._audiences:
            spec["audiences"] = list(self._audiences)
        answer = await self._api.post(
            PATH, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": spec}
        )
        return parse_token_review(answer.get("status") or {}, self._audiences)

    def _hash(self, token: str) -> bytes:
        return hashlib.blake2b(token.encode("utf-8", "replace"), digest_size=32, key=self._hash_key).digest()


def parse_token_review(status: Mapping[str, Any], audiences: Sequence[str]) -> TokenVerdict:
    """The verdict in a TokenReview's status. audiences: one of which the token must be for, () for any.

    An answer that names no audience comes from an authenticator that does not know audiences: the token is good for
    the API server then, which is not what was asked.
    """
    user: Mapping[str, Any] = status.get("user") or {}
    if not status.get("authenticated") or not user.get("username"):
        return TokenVerdict(None, str(status.get("error") or "not authenticated"))
    if audiences and not set(audiences) & set(status.get("audiences") or ()):
        return TokenVerdict(None, f"audiences were {status.get('audiences') or []}, one must be of {list(audiences)}")
    extra: Mapping[str, Sequence[str]] = user.get("extra") or {}
    return TokenVerdict(
        authenticated(
            User(
                user["username"],
                tuple(user.get("groups") or ()),
                user.get("uid") or "",
                tuple((key, tuple(extra[key])) for key in sorted(extra)),
            )
        )
    )
