"""Who may ask and with which certificate the adapter answers, put together from the settings."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from adapter.auth.access_review import AccessReviews
from adapter.auth.client_certificate import read_client_certificates
from adapter.auth.gate import Gate, static_gate
from adapter.auth.serving_certificate.key_pair import KeyPair
from adapter.auth.serving_certificate.mounted import MountedCertificate
from adapter.auth.serving_certificate.self_managed import SelfManagedCertificate
from adapter.auth.serving_certificate.tls_context import ServingTls
from adapter.auth.token_review import TokenReviews
from adapter.auth.trust import ClusterTrust, Trust
from adapter.auth.trust_watch import TrustWatch
from adapter.clock import Clock
from adapter.settings import AdapterSettings
from adapter.sources.kubernetes.client import KubeClient


@dataclass(frozen=True, slots=True)
class Security:
    """gate: who may do what. tls: the listener's. follow: what must run along, until cancelled.

    awaited: what is not known yet and must be before anybody is served, "" for nothing. faults: what does not
    work at present. reviews: kind of review -> how many were asked of the API server, how many failed.
    """

    gate: Gate
    tls: ServingTls
    follow: tuple[Callable[[], Awaitable[None]], ...]
    awaited: Callable[[], str]
    faults: Callable[[], list[str]]
    reviews: Callable[[], dict[str, tuple[int, int]]]


def make_security(settings: AdapterSettings, client: KubeClient | None, clock: Clock) -> Security:
    """client: the cluster's, None where the settings need none. Raises BadInput for unusable files."""
    tls = ServingTls()
    authentication = settings.authentication
    follow: list[Callable[[], Awaitable[None]]] = []
    trust: Callable[[], Trust]
    watch: TrustWatch | None = None
    tokens: TokenReviews | None = None
    access: AccessReviews | None = None

    def show(_: object = None) -> None:
        pair: KeyPair | None = certificate.current
        if pair is not None:
            tls.serve(pair, trust().pem)

    if authentication.client_ca_file is not None:
        fixed = Trust(clients=read_client_certificates(authentication.client_ca_file, authentication.allowed_names))

        def trust() -> Trust:
            return fixed

        gate = static_gate(fixed, clock)
    else:
        assert client is not None
        followed = ClusterTrust(show)

        def trust() -> Trust:
            return followed.current

        watch = TrustWatch(client, followed)
        follow.append(watch.run)
        tokens = TokenReviews(client, authentication)
        access = AccessReviews(client, settings.authorization)
        gate = Gate(trust=trust, clock=clock, tokens=tokens, access=access, anonymous=authentication.anonymous)
    certificate, run = _certificate(settings, client, clock, show)
    follow.append(run)
    show()

    def awaited() -> str:
        if watch is not None and not watch.synced:
            return f"whose certificates to believe is not known yet: {watch.fault}"
        return "" if certificate.current is not None else certificate.fault

    def faults() -> list[str]:
        told = [tls.fault, certificate.fault, watch.fault if watch is not None else ""]
        return [one for one in (*told, *gate.faults.values()) if one]

    def reviews() -> dict[str, tuple[int, int]]:
        caches = [part.cache for part in (tokens, access) if part is not None]
        return {cache.kind: (cache.asked, cache.failed) for cache in caches}

    return Security(gate, tls, tuple(follow), awaited, faults, reviews)


def _certificate(
    settings: AdapterSettings, client: KubeClient | None, clock: Clock, show: Callable[[KeyPair], None]
) -> tuple[MountedCertificate | SelfManagedCertificate, Callable[[], Awaitable[None]]]:
    """The serving certificate, and what keeps it current."""
    serving = settings.serving_certificate
    if serving.cert_file is not None and serving.key_file is not None:
        mounted = MountedCertificate(serving.cert_file, serving.key_file, clock=clock, on_change=show)
        return mounted, lambda: mounted.run(serving.reload_seconds)
    assert client is not None
    own = SelfManagedCertificate(client, serving, clock=clock, on_change=show)
    return own, own.run
