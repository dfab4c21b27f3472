"""The gate that every request passes: who asks, and may they?

With everything in memory it answers without waiting, in some microseconds.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from adapter.auth.access_review import AccessReviews, AccessVerdict, forbidden, go_quoted
from adapter.auth.identity import ANONYMOUS, User
from adapter.auth.peer import Peer
from adapter.auth.refusal import ReviewFailed, Unauthorized
from adapter.auth.request_attributes import Attributes, attributes_of
from adapter.auth.token_review import TokenReviews, TokenVerdict, bearer_token
from adapter.auth.trust import Trust
from adapter.clock import Clock
from adapter.http_server.request import Client, Request

_log = logging.getLogger(__name__)
OPEN_PATHS: Final = frozenset(("healthz", "livez", "readyz"))
_MEMO: Final = "adapter.auth.peer"


class Gate:
    """Authenticates as a delegating Go API server does, in its order: the front proxy's headers, a client
    certificate, a bearer token, else anonymous; then authorizes. (apiserver
    pkg/authentication/authenticatorfactory/delegating.go)

    A credential that is refused does no harm beside one that is good; alone it is 401.
    """

    def __init__(
        self,
        *,
        trust: Callable[[], Trust],
        clock: Clock,
        tokens: TokenReviews | None = None,
        access: AccessReviews | None = None,
        anonymous: bool = False,
    ) -> None:
        """trust: gives the trust of this moment. tokens: None believes no token. access: None lets every
        authenticated user do everything. anonymous: whether strangers are users too."""
        self._trust = trust
        self._clock = clock
        self._tokens = tokens
        self._access = access
        self._anonymous = anonymous

    @property
    def faults(self) -> Mapping[str, str]:
        """What does not work at present: kind of review -> why."""
        caches = [part.cache for part in (self._tokens, self._access) if part is not None]
        return {cache.kind: cache.fault for cache in caches if cache.fault}

    def check(self, request: Request) -> User | Awaitable[User]:
        """The user, if they may do what they ask; a promise of it where the API server must be asked.

        Raises, or the promise raises, Unauthorized, Forbidden or ReviewFailed.
        """
        segments = request.segments
        if len(segments) == 1 and segments[0] in OPEN_PATHS:
            return ANONYMOUS
        peer = self._peer(request.client)
        user = peer.named_user(request.headers) or peer.user
        if user is None:
            token = bearer_token(request.headers.get(b"authorization", ())) if self._tokens else None
            if token is not None:
                return self._check_token(request, token)
            if peer.fault or not self._anonymous:
                raise Unauthorized("Unauthorized")
            user = ANONYMOUS
        return self._authorize(request, user)

    def _peer(self, client: Client) -> Peer:
        """What the connection's certificate is worth now: looked up, or worked out."""
        trust, now_ns = self._trust(), self._clock.now_ns()
        peer = client.memo.get(_MEMO)
        if isinstance(peer, Peer) and peer.holds(trust, now_ns):
            return peer
        leaf = client.certificate_der
        peer = Peer(trust, (leaf, *client.intermediates_der) if leaf is not None else (), now_ns)
        if peer.fault and not peer.is_front_proxy:
            _log.warning("client certificate refused: %s", peer.fault)
        client.memo[_MEMO] = peer
        return peer

    def _check_token(self, request: Request, token: str) -> User | Awaitable[User]:
        assert self._tokens is not None
        verdict = self._tokens.known(token)
        if verdict is None:
            return self._ask_for_token(request, self._tokens.ask(token))
        return self._authorize(request, _user_of(verdict))

    async def _ask_for_token(self, request: Request, asked: Awaitable[TokenVerdict]) -> User:
        try:
            verdict = await asked
        except ReviewFailed as error:
            # 401 as a Go API server answers (apiserver pkg/endpoints/filters/authentication.go), but saying why.
            raise Unauthorized("Unauthorized: the token could not be reviewed, try again later") from error
        user = self._authorize(request, _user_of(verdict))
        return user if isinstance(user, User) else await user

    def _authorize(self, request: Request, user: User) -> User | Awaitable[User]:
        if self._access is None:
            return user
        attributes = attributes_of(request.method, request.segments)
        verdict = self._access.known(user, attributes)
        if verdict is None:
            return self._ask_for_access(self._access, request, user, attributes)
        return _let_in(user, attributes, verdict)

    async def _ask_for_access(
        self, access: AccessReviews, request: Request, user: User, attributes: Attributes
    ) -> User:
        try:
            verdict = await access.ask(user, attributes)
        except ReviewFailed as error:
            path = "/" + "/".join(request.segments)
            raise ReviewFailed(f"Internal Server Error: {go_quoted(path)}: {error}") from error
        return _let_in(user, attributes, verdict)


def static_gate(trust: Trust, clock: Clock) -> Gate:
    """Without a cluster: whoever has a certificate of the trusted CA may read everything."""
    return Gate(trust=lambda: trust, clock=clock)


def _user_of(verdict: TokenVerdict) -> User:
    if verdict.user is None:
        raise Unauthorized("Unauthorized")
    return verdict.user


def _let_in(user: User, attributes: Attributes, verdict: AccessVerdict) -> User:
    if not verdict.allowed:
        raise forbidden(user, attributes, verdict.reason)
    return user
