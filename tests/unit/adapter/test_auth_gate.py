"""The gate: who passes, as whom, and what it costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fake_object_api import UNREACHABLE, FakeObjectApi
from made_certificates import NOW_NS, Made, make
from pydantic import BaseModel, ValidationError

from adapter.auth import access_review, token_review
from adapter.auth.access_review import AccessReviews
from adapter.auth.certificate_authorities import Authorities
from adapter.auth.client_certificate import ClientCertificates, read_client_certificates
from adapter.auth.gate import Gate, static_gate
from adapter.auth.identity import ANONYMOUS, User
from adapter.auth.refusal import Forbidden, Refused, ReviewFailed, Unauthorized
from adapter.auth.request_header import RequestHeaderConfig
from adapter.auth.settings import AuthenticationSettings, AuthorizationSettings
from adapter.auth.token_review import TokenReviews
from adapter.auth.trust import Trust
from adapter.errors import BadInput

SECOND = 1_000_000_000
SPAN: dict[str, Any] = {"valid_from_ns": NOW_NS - 3600 * SECOND, "valid_until_ns": NOW_NS + 3600 * SECOND}
PROXY_CA, OTHER_PROXY_CA, CLIENT_CA = (make(name, ca=True, **SPAN) for name in ("proxy-ca", "proxy-ca", "kubernetes"))
PROXY = make("front-proxy-client", PROXY_CA, **SPAN)
ADA = make("ada", CLIENT_CA, groups=("dev",), **SPAN)
METRIC = ("apis", "custom.metrics.k8s.io", "v1beta2", "namespaces", "llm", "pods", "*", "queue_depth")
HPA = {b"x-remote-user": [b"hpa"], b"x-remote-group": [b"system:serviceaccounts", b"system:authenticated"]}
HPA_USER = User("hpa", ("system:serviceaccounts", "system:authenticated"))


class HandClock:
    """A clock that the test moves; it serves as the monotonic one too."""

    def __init__(self) -> None:
        self.ns = NOW_NS

    def now_ns(self) -> int:
        return self.ns


@dataclass
class FakeClient:
    certificate_der: bytes | None = None
    memo: dict[object, object] = field(default_factory=dict)
    intermediates_der: Sequence[bytes] = ()


@dataclass
class FakeRequest:
    headers: Mapping[bytes, Sequence[bytes]]
    client: FakeClient
    segments: tuple[str, ...] = METRIC
    method: str = "GET"


class World:
    """A gate with everything that it asks. allowed: whether the API server allows anything."""

    def __init__(self, *, anonymous: bool = False) -> None:
        self.clock = HandClock()
        self.api = FakeObjectApi()
        self.allowed = True
        self.api.reviews[token_review.PATH] = lambda spec: {
            "authenticated": spec["token"].startswith("good"),
            "user": {"username": "token-user"},
        }
        self.api.reviews[access_review.PATH] = lambda _: {"allowed": self.allowed}
        self.trust = trust()
        self.gate = Gate(
            trust=lambda: self.trust,
            clock=self.clock,
            tokens=TokenReviews(self.api, AuthenticationSettings(), monotonic_ns=self.clock.now_ns),
            access=AccessReviews(self.api, AuthorizationSettings(), monotonic_ns=self.clock.now_ns),
            anonymous=anonymous,
        )

    async def ask(
        self,
        client: FakeClient | Made | None = None,
        headers: Mapping[bytes, Sequence[bytes]] | None = None,
        **request: Any,
    ) -> User:
        if not isinstance(client, FakeClient):
            client = FakeClient(client.der if client else None)
        answer = self.gate.check(FakeRequest(headers or {}, client, **request))
        return answer if isinstance(answer, User) else await answer


def trust(
    proxy_ca: Made = PROXY_CA, allowed: tuple[str, ...] = ("front-proxy-client",), client_ca: Made = CLIENT_CA
) -> Trust:
    return Trust(
        RequestHeaderConfig(
            Authorities(proxy_ca.pem), allowed, (b"x-remote-user",), (b"x-remote-group",), (), (b"x-remote-extra-",)
        ),
        ClientCertificates(Authorities(client_ca.pem)),
    )


TOKEN = {b"authorization": [b"Bearer good"]}
BAD_TOKEN = {b"authorization": [b"Bearer bad"]}


@pytest.mark.parametrize(
    ("client", "headers", "user"),
    [
        pytest.param(PROXY, HPA, HPA_USER, id="the-front-proxy-names-the-user"),
        pytest.param(
            PROXY,
            {b"x-remote-user": [b"system:anonymous"], b"x-remote-group": [b"system:unauthenticated"]},
            ANONYMOUS,
            id="the-front-proxy-may-pass-on-strangers",
        ),
        pytest.param(ADA, {}, "ada", id="a-client-certificate-is-a-user"),
        pytest.param(ADA, HPA, "ada", id="and-names-no-other"),
        pytest.param(None, TOKEN, "token-user", id="a-token"),
        pytest.param(None, HPA | TOKEN, "token-user", id="a-token-with-forged-headers"),
        pytest.param(PROXY, TOKEN, "token-user", id="the-front-proxy-names-nobody-a-token-does"),
        pytest.param(make("eve", **SPAN), TOKEN, "token-user", id="a-refused-certificate-beside-a-good-token"),
        pytest.param(PROXY, HPA | BAD_TOKEN, HPA_USER, id="a-refused-token-beside-a-good-certificate"),
    ],
)
async def test_who_passes(client: Made | None, headers: dict[bytes, list[bytes]], user: User | str) -> None:
    passed = await World().ask(client, headers)
    assert user in (passed, passed.name)
    assert "system:authenticated" in passed.groups or passed == ANONYMOUS


async def test_a_client_certificate_gives_its_groups_and_its_fingerprint() -> None:
    user = await World().ask(ADA)
    assert user.groups == ("dev", "system:authenticated")
    assert user.extra[0][0] == "authentication.kubernetes.io/credential-id"
    assert user.extra[0][1][0].startswith("X509SHA256=")


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        pytest.param(None, {}, id="no-credential"),
        pytest.param(None, HPA, id="forged-headers-without-a-certificate"),
        pytest.param(make("front-proxy-client", OTHER_PROXY_CA, **SPAN), HPA, id="a-ca-of-the-same-name"),
        pytest.param(make("somebody", PROXY_CA, **SPAN), HPA, id="a-common-name-that-is-not-allowed"),
        pytest.param(PROXY, {b"x-remote-group": [b"system:masters"]}, id="a-group-without-a-name"),
        pytest.param(make("", CLIENT_CA, groups=("dev",), **SPAN), {}, id="a-certificate-without-a-common-name"),
        pytest.param(None, BAD_TOKEN, id="a-bad-token"),
        pytest.param(None, {b"authorization": [b"Basic YTpi"]}, id="another-scheme"),
    ],
)
@pytest.mark.parametrize("anonymous", [False, True])
async def test_who_does_not_pass(client: Made | None, headers: dict[bytes, list[bytes]], anonymous: bool) -> None:
    """With anonymous access, whoever shows no credential is a stranger; a refused one is no way to become one."""
    shows = client is not None or headers.get(b"authorization", [b"Basic"])[0].startswith(b"Bearer")
    world = World(anonymous=anonymous)
    if anonymous and not shows:
        assert await world.ask(client, headers) == ANONYMOUS
    else:
        with pytest.raises(Unauthorized, match=r"^Unauthorized$"):
            await world.ask(client, headers)


async def test_the_log_says_why_a_certificate_was_refused(caplog: pytest.LogCaptureFixture) -> None:
    """And the client is not told. Once a connection, not once a request."""
    world, connection = World(), FakeClient(make("somebody", PROXY_CA, **SPAN).der)
    for _ in range(3):
        with pytest.raises(Unauthorized):
            await world.ask(connection, HPA)
    [message] = caplog.messages
    assert "common name was 'somebody', allowed are ('front-proxy-client',)" in message


async def test_no_names_allowed_means_any_that_the_ca_has_signed() -> None:
    world = World()
    world.trust = trust(allowed=())
    assert await world.ask(make("somebody", PROXY_CA, **SPAN), HPA) == HPA_USER


async def test_a_chain_through_an_intermediate_that_the_client_sent() -> None:
    intermediate = make("intermediate", PROXY_CA, ca=True, **SPAN)
    proxy = make("front-proxy-client", intermediate, **SPAN)
    world = World()
    assert await world.ask(FakeClient(proxy.der, intermediates_der=(intermediate.der,)), HPA) == HPA_USER
    with pytest.raises(Unauthorized):
        await world.ask(proxy, HPA)


async def test_a_rotated_ca_holds_for_the_next_request_of_an_open_connection() -> None:
    world, connection = World(), FakeClient(PROXY.der)
    assert await world.ask(connection, HPA) == HPA_USER
    world.trust = trust(proxy_ca=OTHER_PROXY_CA)
    with pytest.raises(Unauthorized):
        await world.ask(connection, HPA)
    world.trust = trust()
    assert await world.ask(connection, HPA) == HPA_USER


async def test_a_name_that_is_no_longer_allowed_is_refused_on_an_open_connection() -> None:
    world, connection = World(), FakeClient(PROXY.der)
    await world.ask(connection, HPA)
    world.trust = trust(allowed=("another",))
    with pytest.raises(Unauthorized):
        await world.ask(connection, HPA)


@pytest.mark.parametrize("ends", ["leaf", "ca"])
async def test_a_certificate_that_ends_ends_on_an_open_connection(ends: str) -> None:
    short = {**SPAN, "valid_until_ns": NOW_NS + 60 * SECOND}
    ca = make("proxy-ca", ca=True, **(short if ends == "ca" else SPAN))
    connection = FakeClient(make("front-proxy-client", ca, **(short if ends == "leaf" else SPAN)).der)
    world = World()
    world.trust = trust(proxy_ca=ca)
    world.clock.ns = NOW_NS + 60 * SECOND
    assert await world.ask(connection, HPA) == HPA_USER
    world.clock.ns += SECOND
    with pytest.raises(Unauthorized):
        await world.ask(connection, HPA)


async def test_users_of_one_connection_are_told_apart() -> None:
    """The API server sends the requests of all its users through the same connections."""
    world, connection = World(), FakeClient(PROXY.der)
    for number in [*range(600), 5]:  # more than are remembered
        name = f"user-{number}".encode()
        assert (await world.ask(connection, {b"x-remote-user": [name]})).name == name.decode()
    extra = {b"x-remote-user": [b"user-5"], b"x-remote-extra-scopes": [b"view"]}
    assert (await world.ask(connection, extra)).extra == (("scopes", ("view",)),)
    assert (await world.ask(connection, {b"x-remote-user": [b"user-5"]})).extra == ()


@pytest.mark.parametrize("path", ["healthz", "livez", "readyz"])
async def test_probes_pass_without_a_credential(path: str) -> None:
    world = World()
    world.api.failure = UNREACHABLE
    assert await world.ask(segments=(path,)) == ANONYMOUS


@pytest.mark.parametrize("segments", [("healthz", "x"), ("metrics",), ("apis",), ()])
async def test_other_paths_do_not(segments: tuple[str, ...]) -> None:
    with pytest.raises(Unauthorized):
        await World().ask(segments=segments)


async def test_strangers_cost_the_api_server_nothing() -> None:
    world = World()
    for _ in range(10):
        with pytest.raises(Unauthorized):
            await world.ask()
    assert world.api.calls == []


async def test_who_may_not_is_told_in_the_words_of_a_go_api_server() -> None:
    world = World()
    world.allowed = False
    with pytest.raises(Forbidden, match=r'pods\.custom\.metrics\.k8s\.io "\*" is forbidden: User "hpa" cannot get'):
        await world.ask(PROXY, HPA)


async def test_the_warm_path_does_not_wait() -> None:
    world, connection = World(), FakeClient(PROXY.der)
    await world.ask(connection, HPA)
    calls = len(world.api.calls)
    assert world.gate.check(FakeRequest(HPA, connection)) == HPA_USER
    other_metric = (*METRIC[:-1], "batch_size")
    assert world.gate.check(FakeRequest(HPA, connection, other_metric)) == HPA_USER
    await world.ask(None, TOKEN)
    calls += 2
    assert isinstance(world.gate.check(FakeRequest(TOKEN, FakeClient())), User)
    assert len(world.api.calls) == calls


async def test_a_refusal_is_remembered_too() -> None:
    world, connection = World(), FakeClient(PROXY.der)
    world.allowed = False
    with pytest.raises(Forbidden):
        await world.ask(connection, HPA)
    with pytest.raises(Forbidden):  # synchronously
        world.gate.check(FakeRequest(HPA, connection))


async def test_an_outage_of_the_api_server_while_a_token_must_be_judged_is_401() -> None:
    """As in a Go API server, but saying why."""
    world = World()
    world.api.failure = UNREACHABLE
    with pytest.raises(Unauthorized, match="token could not be reviewed, try again later"):
        await world.ask(None, TOKEN)
    assert "connection refused" in world.gate.faults["TokenReview"]


async def test_an_outage_while_access_must_be_judged_is_500_and_lets_nobody_in() -> None:
    """As in a Go API server; system:masters pass all the same."""
    world = World()
    world.api.failure = UNREACHABLE
    with pytest.raises(ReviewFailed, match=r'Internal Server Error: "/apis/custom\.metrics') as refused:
        await world.ask(PROXY, HPA)
    assert (refused.value.code, refused.value.reason) == (500, "")
    assert "connection refused" in world.gate.faults["SubjectAccessReview"]
    masters = {b"x-remote-user": [b"system:kube-aggregator"], b"x-remote-group": [b"system:masters"]}
    assert (await world.ask(PROXY, masters)).name == "system:kube-aggregator"


async def test_what_is_known_outlives_an_outage_for_as_long_as_it_holds() -> None:
    world, connection = World(), FakeClient(PROXY.der)
    await world.ask(connection, HPA)
    world.api.failure = UNREACHABLE
    world.clock.ns += 9 * SECOND
    assert await world.ask(connection, HPA) == HPA_USER
    world.clock.ns += SECOND
    with pytest.raises(ReviewFailed):
        await world.ask(connection, HPA)


async def test_before_any_trust_is_known_nobody_is_believed() -> None:
    world = World()
    world.trust = Trust()
    for client in (PROXY, ADA):
        with pytest.raises(Unauthorized):
            await world.ask(client, HPA)


class TestStaticGate:
    """Without a cluster: a CA file, and names."""

    @pytest.mark.parametrize(
        ("client", "allowed", "passes"),
        [
            (ADA, (), True),
            (ADA, ("ada", "hpa"), True),
            (ADA, ("hpa",), False),
            (PROXY, (), False),
            (None, (), False),
        ],
    )
    def test_whoever_has_an_allowed_name_may_read_everything(
        self, client: Made | None, allowed: tuple[str, ...], passes: bool
    ) -> None:
        gate = static_gate(Trust(clients=ClientCertificates(Authorities(CLIENT_CA.pem), allowed)), HandClock())
        request = FakeRequest(HPA | TOKEN, FakeClient(client.der if client else None))
        if passes:
            user = gate.check(request)
            assert isinstance(user, User)
            assert user.name == "ada"
        else:
            with pytest.raises(Unauthorized):
                gate.check(request)

    def test_the_file_is_read(self, tmp_path: Any) -> None:
        (tmp_path / "ca.pem").write_text(CLIENT_CA.pem)
        clients = read_client_certificates(tmp_path / "ca.pem", ("ada",))
        assert (clients.authorities, clients.allowed_names) == (Authorities(CLIENT_CA.pem), ("ada",))

    @pytest.mark.parametrize("content", [None, "", "junk", b"\xff\xfe"])
    def test_a_file_that_cannot_be_used_is_named(self, tmp_path: Any, content: str | bytes | None) -> None:
        file = tmp_path / "ca.pem"
        if content is not None:
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(BadInput, match=r"clientCAFile: was .*ca\.pem', must .*correct the (file|path)"):
            read_client_certificates(file)


def test_refusals_are_one_kind_for_the_api_layer() -> None:
    assert {(kind.code, kind.reason) for kind in (Unauthorized, Forbidden, ReviewFailed)} == {
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (500, ""),
    }
    assert all(issubclass(kind, Refused) for kind in (Unauthorized, Forbidden, ReviewFailed))


@pytest.mark.parametrize(
    ("section", "values", "why"),
    [
        (AuthenticationSettings, {"allowedNames": ["a"]}, "allowedNames: were .*must be empty without clientCAFile"),
        (AuthenticationSettings, {"clientCAfile": "x"}, "Extra inputs are not permitted"),
        (AuthenticationSettings, {"tokenCacheSeconds": 301}, "less than or equal to 300"),
        (AuthorizationSettings, {"maxCachedVerdicts": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(section: type[BaseModel], values: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        section.model_validate(values)


def test_the_ca_file_is_spelled_as_kubernetes_spells_it() -> None:
    settings = AuthenticationSettings.model_validate({"clientCAFile": "ca.pem", "allowedNames": ["a"]})
    assert settings.client_ca_file == Path("ca.pem")
