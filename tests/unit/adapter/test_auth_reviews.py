"""Reviews by the API server: what is asked, how often, and what happens when it does not answer."""

import asyncio
from typing import Any

import pytest
from fake_object_api import UNREACHABLE, FakeObjectApi

from adapter.auth import access_review, token_review
from adapter.auth.access_review import AccessReviews, AccessVerdict, parse_subject_access_review
from adapter.auth.identity import User
from adapter.auth.refusal import ReviewFailed
from adapter.auth.request_attributes import Attributes
from adapter.auth.settings import AuthenticationSettings, AuthorizationSettings
from adapter.auth.token_review import TokenReviews, TokenVerdict, bearer_token, parse_token_review
from adapter.sources.kubernetes.api import ApiError

SECOND = 1_000_000_000
QUEUE = Attributes("get", "custom.metrics.k8s.io", "v1beta2", "llm", "pods", "queue_depth", "*")
BATCH = QUEUE._replace(subresource="batch_size")
ADA = User("ada", ("dev", "system:authenticated"))


class Watch:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.ns = 1

    def __call__(self) -> int:
        return self.ns


def tokens(api: FakeObjectApi, watch: Watch | None = None, **settings: Any) -> TokenReviews:
    return TokenReviews(api, AuthenticationSettings(**settings), monotonic_ns=watch or Watch())


def access(api: FakeObjectApi, watch: Watch | None = None, **settings: Any) -> AccessReviews:
    return AccessReviews(api, AuthorizationSettings(**settings), monotonic_ns=watch or Watch())


def authenticated_as(spec: dict[str, Any]) -> dict[str, Any]:
    good = spec["token"].startswith("good")
    return {"authenticated": good, "user": {"username": "ada", "groups": ["dev"]}} if good else {"error": "bad token"}


def token_api() -> FakeObjectApi:
    api = FakeObjectApi()
    api.reviews[token_review.PATH] = authenticated_as
    return api


def access_api(*allowed: str) -> FakeObjectApi:
    """Allows these subresources; "*" stands for the whole group."""
    api = FakeObjectApi()

    def judge(spec: dict[str, Any]) -> dict[str, Any]:
        asked = spec["resourceAttributes"]
        name = "*" if asked["resource"] == "*" else asked.get("subresource", "")
        return {"allowed": name in allowed}

    api.reviews[access_review.PATH] = judge
    return api


@pytest.mark.parametrize(
    ("value", "token"),
    [
        ([], None),
        ([b"Bearer abc"], "abc"),
        ([b"bearer abc"], "abc"),
        ([b"  Bearer abc trailing"], "abc"),
        ([b"Bearer  abc"], None),
        ([b"Bearer"], None),
        ([b"Basic YTpi"], None),
        ([b"Bearer abc", b"Bearer other"], "abc"),
    ],
)
def test_bearer_token(value: list[bytes], token: str | None) -> None:
    assert bearer_token(value) == token


@pytest.mark.parametrize(
    ("status", "audiences", "verdict"),
    [
        pytest.param(
            {
                "authenticated": True,
                "user": {
                    "username": "system:serviceaccount:llm:scraper",
                    "uid": "7",
                    "groups": ["system:serviceaccounts"],
                    "extra": {"b": ["2"], "a": ["1"]},
                },
            },
            [],
            TokenVerdict(
                User(
                    "system:serviceaccount:llm:scraper",
                    ("system:serviceaccounts", "system:authenticated"),
                    "7",
                    (("a", ("1",)), ("b", ("2",))),
                )
            ),
            id="a-service-account",
        ),
        pytest.param({"error": "expired"}, [], TokenVerdict(None, "expired"), id="refused-with-a-reason"),
        pytest.param({}, [], TokenVerdict(None, "not authenticated"), id="refused"),
        pytest.param({"authenticated": True}, [], TokenVerdict(None, "not authenticated"), id="nobody"),
        pytest.param(
            {"authenticated": True, "user": {"username": "a"}, "audiences": ["x", "y"]},
            ["y", "z"],
            TokenVerdict(User("a", ("system:authenticated",))),
            id="for-one-of-the-audiences",
        ),
        pytest.param(
            {"authenticated": True, "user": {"username": "a"}, "audiences": ["x"]},
            ["y"],
            TokenVerdict(None, "audiences were ['x'], one must be of ['y']"),
            id="for-another-audience",
        ),
        pytest.param(
            {"authenticated": True, "user": {"username": "a"}},
            ["y"],
            TokenVerdict(None, "audiences were [], one must be of ['y']"),
            id="an-authenticator-that-knows-no-audiences",
        ),
    ],
)
def test_verdict_on_a_token(status: dict[str, Any], audiences: list[str], verdict: TokenVerdict) -> None:
    assert parse_token_review(status, audiences) == verdict


async def test_a_good_token_is_asked_for_once_in_ten_seconds() -> None:
    api, watch = token_api(), Watch()
    reviews = tokens(api, watch)
    assert (await reviews.ask("good")).user == ADA
    watch.ns += 10 * SECOND - 1
    assert reviews.known("good") is not None
    assert (await reviews.ask("good")).user == ADA
    assert len(api.calls) == 1
    watch.ns += 1
    assert reviews.known("good") is None
    await reviews.ask("good")
    assert len(api.calls) == 2


async def test_a_refused_token_is_asked_for_again_after_two_seconds() -> None:
    api, watch = token_api(), Watch()
    reviews = tokens(api, watch)
    for wait, calls in [(0, 1), (2 * SECOND - 1, 1), (1, 2)]:
        watch.ns += wait
        assert (await reviews.ask("bad")).user is None
        assert len(api.calls) == calls


async def test_the_audiences_are_asked_for() -> None:
    api = token_api()
    await tokens(api, token_audiences=("leadtime",)).ask("good")
    assert api.bodies[0]["spec"] == {"token": "good", "audiences": ["leadtime"]}


async def test_requests_with_the_same_token_at_once_ask_once() -> None:
    api = token_api()
    reviews = tokens(api)
    verdicts = await asyncio.gather(*(reviews.ask("good") for _ in range(50)))
    assert {verdict.user for verdict in verdicts} == {ADA}
    assert len(api.calls) == 1


async def test_a_client_that_goes_away_does_not_end_the_review_for_others() -> None:
    api = token_api()
    api.gate.clear()
    reviews = tokens(api)
    first, second = (asyncio.ensure_future(reviews.ask("good")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    api.gate.set()
    assert (await second).user == ADA


async def test_a_flood_of_bad_tokens_displaces_no_good_one_and_memory_stays_bounded() -> None:
    api = token_api()
    reviews = tokens(api, max_cached_tokens=10)
    await reviews.ask("good")
    for number in range(100):
        await reviews.ask(f"bad-{number}")
    assert reviews.known("good") is not None
    assert sum(reviews.known(f"bad-{number}") is not None for number in range(100)) == 10


async def test_no_more_reviews_are_under_way_than_allowed() -> None:
    api, most = token_api(), 0
    under_way: set[str] = set()

    def judge(spec: dict[str, Any]) -> dict[str, Any]:
        under_way.discard(spec["token"])
        return authenticated_as(spec)

    def started(_: str, __: str) -> None:
        nonlocal most
        under_way.add(api.bodies[-1]["spec"]["token"])
        most = max(most, len(under_way))

    api.reviews[token_review.PATH] = judge
    api.before = started
    reviews = tokens(api, max_concurrent_reviews=3)
    await asyncio.gather(*(reviews.ask(f"good-{number}") for number in range(20)))
    assert 0 < most <= 3


async def test_an_api_server_that_is_down_is_asked_once_a_second_and_again_when_it_is_back() -> None:
    api, watch = token_api(), Watch()
    api.failure = UNREACHABLE
    reviews = tokens(api, watch)
    for wait, calls in [(0, 1), (SECOND - 1, 1), (1, 2)]:
        watch.ns += wait
        with pytest.raises(ReviewFailed, match="TokenReview: no answer Unreachable: connection refused"):
            await reviews.ask("good")
        assert len(api.calls) == calls
    assert "connection refused" in reviews.cache.fault
    assert (reviews.cache.asked, reviews.cache.failed) == (2, 2)
    api.failure = None
    watch.ns += SECOND
    assert (await reviews.ask("good")).user == ADA
    assert reviews.cache.fault == ""


@pytest.mark.parametrize(
    ("failure", "calls"),
    [
        pytest.param(ApiError(0, "Disconnected", "server disconnected"), 4, id="a-kept-alive-connection-had-ended"),
        pytest.param(ApiError(429, "TooManyRequests", "slow down"), 4, id="too-many-requests"),
        pytest.param(ApiError(500, "InternalError", "etcd"), 4, id="internal-error"),
        pytest.param(UNREACHABLE, 1, id="unreachable"),
        pytest.param(ApiError(403, "Forbidden", "no"), 1, id="forbidden"),
    ],
)
async def test_what_may_pass_is_asked_again_three_times(failure: ApiError, calls: int) -> None:
    api, waits = token_api(), list[float]()
    api.failure = failure

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    reviews = TokenReviews(api, AuthenticationSettings(), monotonic_ns=Watch(), sleep=sleep)
    with pytest.raises(ReviewFailed):
        await reviews.ask("good")
    assert len(api.calls) == calls
    assert waits == [0.0, 0.5, 0.75][: calls - 1]


async def test_a_connection_that_had_ended_is_not_noticed() -> None:
    api = token_api()
    api.failure = ApiError(0, "Disconnected", "server disconnected")

    async def sleep(_: float) -> None:
        api.failure = None

    reviews = TokenReviews(api, AuthenticationSettings(), monotonic_ns=Watch(), sleep=sleep)
    assert (await reviews.ask("good")).user == ADA
    assert reviews.cache.fault == ""


async def test_a_review_that_takes_too_long_fails() -> None:
    api = token_api()
    api.gate.clear()
    with pytest.raises(ReviewFailed, match=r"no answer within 0\.1 s"):
        await tokens(api, review_timeout_seconds=0.1).ask("good")


async def test_missing_rights_are_said_with_the_role_to_bind() -> None:
    api = access_api()
    api.failure = ApiError(403, "Forbidden", "cannot create resource")
    with pytest.raises(ReviewFailed, match="bind the adapter's service account to ClusterRole system:auth-delegator"):
        await access(api).ask(ADA, QUEUE)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ({"allowed": True, "reason": "RBAC: allowed"}, AccessVerdict(True, "RBAC: allowed")),
        ({"allowed": False}, AccessVerdict(False)),
        ({}, AccessVerdict(False)),
        ({"allowed": False, "denied": True, "reason": "no"}, AccessVerdict(False, "no")),
        ({"allowed": True, "denied": True}, AccessVerdict(False)),
        ({"allowed": "yes"}, AccessVerdict(False)),
    ],
)
def test_verdict_on_access(status: dict[str, Any], verdict: AccessVerdict) -> None:
    assert parse_subject_access_review(status) == verdict


async def test_a_user_who_may_read_the_whole_group_costs_one_review() -> None:
    """As the HPA controller may: whatever it asks for, in any namespace."""
    api = access_api("*")
    reviews = access(api)
    for attributes in (QUEUE, BATCH, QUEUE._replace(namespace="other"), QUEUE._replace(version="v1beta1")):
        assert (await reviews.ask(ADA, attributes)).allowed
    assert len(api.calls) == 1
    assert api.bodies[0]["spec"]["resourceAttributes"] == {
        "verb": "get",
        "group": "custom.metrics.k8s.io",
        "version": "*",
        "resource": "*",
    }
    assert reviews.known(ADA, BATCH._replace(namespace="third")) is not None


async def test_the_whole_group_is_no_permission_for_another_verb_group_or_user() -> None:
    reviews = access(access_api("*"))
    await reviews.ask(ADA, QUEUE)
    assert reviews.known(ADA, QUEUE._replace(verb="list")) is None
    assert reviews.known(ADA, QUEUE._replace(verb="delete")) is None
    assert reviews.known(ADA, QUEUE._replace(group="external.metrics.k8s.io")) is None
    assert reviews.known(ADA, Attributes("get", path="/metrics")) is None
    assert reviews.known(User("eve"), QUEUE) is None


async def test_other_users_are_judged_metric_by_metric() -> None:
    reviews = access(access_api("queue_depth"))
    assert (await reviews.ask(ADA, QUEUE)).allowed
    assert not (await reviews.ask(ADA, BATCH)).allowed


async def test_without_the_wide_question_only_the_narrow_one_is_asked() -> None:
    api = access_api("*", "queue_depth")
    reviews = access(api, ask_for_whole_group_first=False)
    assert (await reviews.ask(ADA, QUEUE)).allowed
    assert not (await reviews.ask(ADA, BATCH)).allowed
    assert [body["spec"]["resourceAttributes"]["resource"] for body in api.bodies] == ["pods", "pods"]


@pytest.mark.parametrize("allowed", [("queue_depth",), ()], ids=["allowed", "denied"])
async def test_permissions_and_refusals_hold_for_ten_seconds(allowed: tuple[str, ...]) -> None:
    api, watch = access_api(*allowed), Watch()
    reviews = access(api, watch)
    for wait, calls in [(0, 2), (10 * SECOND - 1, 2), (1, 4)]:  # the wide question and the narrow one
        watch.ns += wait
        assert (await reviews.ask(ADA, QUEUE)).allowed is bool(allowed)
        assert len(api.calls) == calls


async def test_masters_need_no_review() -> None:
    api = access_api()
    reviews = access(api)
    verdict = reviews.known(User("system:kube-aggregator", ("system:masters",)), QUEUE)
    assert verdict is not None
    assert verdict.allowed
    assert api.calls == []


async def test_what_a_client_made_very_long_is_not_remembered() -> None:
    api = access_api("queue_depth")
    reviews = access(api, ask_for_whole_group_first=False)
    long = QUEUE._replace(name="x" * 10_000)
    for calls in (1, 2):
        await reviews.ask(ADA, long)
        assert len(api.calls) == calls


async def test_an_outage_is_no_permission() -> None:
    api = access_api("*")
    api.failure = UNREACHABLE
    with pytest.raises(ReviewFailed):
        await access(api).ask(ADA, QUEUE)
