"""What the certificate of one connection is worth."""

from collections.abc import Sequence

from adapter.auth.certificate_authorities import ClientCertificate, NotVouchedFor
from adapter.auth.client_certificate import ClientCertificates, user_of
from adapter.auth.identity import User, authenticated
from adapter.auth.request_header import Headers, RequestHeaderConfig
from adapter.auth.trust import Trust

_REMEMBERED_USERS = 256  # of one connection: the API server sends all of its users' requests through a few
_LOOK_AGAIN_NS = 60_000_000_000  # at a refused certificate: it may become valid
_FOREVER_NS = 2**63


class Peer:
    """The verdict on a connection's certificate under one trust, and the users that came through it.

    user: whose certificate it is, None for none and for one that is only the front proxy's. fault: why a certificate
    that was shown is no user's, "" without one.
    """

    __slots__ = ("_from_ns", "_front_proxy", "_until_ns", "_users", "fault", "trust", "user")

    def __init__(self, trust: Trust, chain: Sequence[bytes], now_ns: int) -> None:
        """chain: the client's DER certificates, its own first; empty without one."""
        self.trust = trust
        self.user: User | None = None
        self.fault = ""
        self._front_proxy: RequestHeaderConfig | None = None
        self._users: dict[object, User | None] = {}
        self._from_ns, self._until_ns = 0, _FOREVER_NS
        if chain:
            self._judge(chain, now_ns)

    @property
    def is_front_proxy(self) -> bool:
        """Whether the headers of this connection are believed."""
        return self._front_proxy is not None

    def holds(self, trust: Trust, now_ns: int) -> bool:
        """Whether the verdict is still good: the same trust, and every certificate of the chain still valid."""
        return trust is self.trust and self._from_ns <= now_ns <= self._until_ns

    def named_user(self, headers: Headers) -> User | None:
        """The user that the headers name, None if they name none or the certificate is not the front proxy's."""
        front_proxy = self._front_proxy
        if front_proxy is None:
            return None
        credentials = front_proxy.credentials(headers)
        try:
            return self._users[credentials]
        except KeyError:
            pass
        user = front_proxy.user(headers)
        if len(self._users) >= _REMEMBERED_USERS:
            self._users.clear()
        self._users[credentials] = found = authenticated(user) if user else None
        return found

    def _judge(self, chain: Sequence[bytes], now_ns: int) -> None:
        faults: list[str] = []
        front_proxy, clients = self.trust.front_proxy, self.trust.clients
        if front_proxy is not None:
            try:
                self._verify(front_proxy, chain, now_ns)
                self._front_proxy = front_proxy
            except NotVouchedFor as error:
                faults.append(f"as front proxy: {error}")
        if clients is not None:
            try:
                if user := user_of(self._verify(clients, chain, now_ns)):
                    self.user = authenticated(user)
                else:
                    faults.append("as client: no common name")
            except NotVouchedFor as error:
                faults.append(f"as client: {error}")
        if self.user is None:
            self.fault = "; ".join(faults) or "no authorities of client certificates are known"
            self._until_ns = min(self._until_ns, now_ns + _LOOK_AGAIN_NS)

    def _verify(
        self, trusted: RequestHeaderConfig | ClientCertificates, chain: Sequence[bytes], now_ns: int
    ) -> ClientCertificate:
        certificate = trusted.authorities.verify(chain, now_ns)
        if trusted.allowed_names and certificate.common_name not in trusted.allowed_names:
            raise NotVouchedFor(f"common name was {certificate.common_name!r}, allowed are {trusted.allowed_names}")
        self._from_ns = max(self._from_ns, certificate.valid_from_ns)
        self._until_ns = min(self._until_ns, certificate.valid_until_ns)
        return certificate
