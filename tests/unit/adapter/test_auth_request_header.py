"""The aggregation layer's headers, and the ConfigMap that says whom to believe about them."""

import asyncio

import pytest
from fake_kube_api import fake_kube_api, until
from hypothesis import given
from hypothesis import strategies as st
from made_certificates import make

from adapter.auth.identity import User
from adapter.auth.request_header import BadRequestHeaderConfig, Headers, parse_request_header_config
from adapter.auth.trust import CONFIG_MAP_NAME, CONFIG_MAP_NAMESPACE, ClusterTrust, Trust
from adapter.auth.trust_watch import TrustWatch

CA, OTHER_CA, CLIENT_CA = (make(name, ca=True).pem for name in ("front-proxy-ca", "front-proxy-ca", "kubernetes"))
DATA = {
    "client-ca-file": CLIENT_CA,
    "requestheader-client-ca-file": CA,
    "requestheader-allowed-names": '["front-proxy-client"]',
    "requestheader-username-headers": '["X-Remote-User", "X-Forwarded-User"]',
    "requestheader-group-headers": '["X-Remote-Group"]',
    "requestheader-uid-headers": '["X-Remote-Uid"]',
    "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
}
CONFIG = parse_request_header_config(DATA)


@pytest.mark.parametrize(
    ("headers", "user"),
    [
        pytest.param({b"x-remote-user": [b"ada"]}, User("ada"), id="a-name-is-enough"),
        pytest.param({b"x-forwarded-user": [b"ada"]}, User("ada"), id="a-later-header-where-the-first-is-missing"),
        pytest.param(
            {b"x-remote-user": [b"ada", b"eve"], b"x-forwarded-user": [b"eve"]}, User("ada"), id="the-first-counts"
        ),
        pytest.param(
            {b"x-remote-user": [b""], b"x-remote-group": [b"system:masters"]}, None, id="an-empty-name-is-none"
        ),
        pytest.param({b"x-remote-group": [b"system:masters"]}, None, id="a-group-without-a-name-is-nobody"),
        pytest.param(
            {b"x-remote-user": [b"a"], b"x-remote-group": [b"dev, ops", b"", b"x"]},
            User("a", ("dev, ops", "x")),
            id="groups-are-not-split",
        ),
        pytest.param({b"x-remote-user": [b"a"], b"x-remote-uid": [b"7"]}, User("a", uid="7"), id="uid"),
        pytest.param(
            {
                b"x-remote-user": [b"a"],
                b"x-remote-extra-scopes": [b"view", b"edit"],
                b"x-remote-extra-authentication.kubernetes.io%2fpod-name": [b"hpa-0"],
            },
            User("a", extra=(("authentication.kubernetes.io/pod-name", ("hpa-0",)), ("scopes", ("view", "edit")))),
            id="extra-keys-are-decoded",
        ),
        pytest.param({b"x-remote-user": ["Jürgen".encode()]}, User("Jürgen"), id="names-are-utf-8"),
    ],
)
def test_user_named_by_headers(headers: Headers, user: User | None) -> None:
    assert CONFIG.user(headers) == user


HEADER_NAMES = [
    b"x-remote-user",
    b"x-remote-group",
    b"x-remote-uid",
    b"x-remote-extra-a",
    b"x-remote-extra-b",
    b"other",
]
HEADERS = st.dictionaries(
    st.sampled_from(HEADER_NAMES), st.lists(st.sampled_from([b"", b"a", b"b"]), min_size=1, max_size=2)
)


@given(HEADERS, HEADERS)
def test_equal_credentials_name_equal_users(one: Headers, other: Headers) -> None:
    """So a user may be remembered by them."""
    if CONFIG.credentials(one) == CONFIG.credentials(other):
        assert CONFIG.user(one) == CONFIG.user(other)


def test_parts_that_kube_apiserver_leaves_out_are_empty() -> None:
    config = parse_request_header_config(
        {key: DATA[key] for key in ("requestheader-client-ca-file", "requestheader-username-headers")}
    )
    assert (config.allowed_names, config.group_headers, config.uid_headers, config.extra_prefixes) == ((), (), (), ())


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("requestheader-client-ca-file", None, "was missing.*start kube-apiserver with"),
        ("requestheader-client-ca-file", "junk", "must hold PEM certificates"),
        ("requestheader-username-headers", None, "was empty, must name a header"),
        ("requestheader-username-headers", "[]", "was empty, must name a header"),
        ("requestheader-allowed-names", "front-proxy-client", "must be a JSON array of strings"),
        ("requestheader-allowed-names", '{"a": 1}', "must be a JSON array of strings"),
        ("requestheader-group-headers", "[1]", "must be a JSON array of strings"),
    ],
)
def test_a_config_map_that_cannot_be_used_is_told_by_its_key(key: str, value: str | None, why: str) -> None:
    data = {name: text for name, text in {**DATA, key: value}.items() if text is not None}
    with pytest.raises(BadRequestHeaderConfig, match=f"{key}.*{why}"):
        parse_request_header_config(data)


def test_allowed_names_that_cannot_be_read_are_not_taken_for_none() -> None:
    """None would allow every certificate of the CA."""
    trust = ClusterTrust()
    trust.update({**DATA, "requestheader-allowed-names": "["})
    assert trust.current.front_proxy is None


def test_a_rotation_makes_a_new_trust_and_the_same_again_does_not() -> None:
    told: list[Trust] = []
    trust = ClusterTrust(told.append)
    trust.update(DATA)
    first = trust.current
    trust.update(dict(DATA))
    assert trust.current is first
    trust.update({**DATA, "requestheader-client-ca-file": OTHER_CA})
    assert trust.current is not first
    assert told == [first, trust.current]
    assert OTHER_CA in trust.current.pem
    assert CLIENT_CA in trust.current.pem
    assert CA not in trust.current.pem


@pytest.mark.parametrize("bad", [{**DATA, "requestheader-client-ca-file": "junk"}, {}, None])
def test_the_last_good_state_stays_when_the_config_map_turns_bad_or_goes(bad: dict[str, str] | None) -> None:
    trust = ClusterTrust()
    trust.update(DATA)
    good = trust.current
    assert trust.fault == ""
    trust.update(bad)
    assert trust.current is good
    assert f"{CONFIG_MAP_NAMESPACE}/{CONFIG_MAP_NAME}" in trust.fault
    assert "last good state stays" in trust.fault
    trust.update(DATA)
    assert trust.fault == ""


def test_each_part_is_taken_over_on_its_own() -> None:
    trust = ClusterTrust()
    trust.update({"client-ca-file": CLIENT_CA})  # a cluster without an aggregation layer
    assert trust.current.clients is not None
    assert trust.current.front_proxy is None
    assert "requestheader-client-ca-file: was missing" in trust.fault
    trust.update({**DATA, "client-ca-file": "junk"})
    assert trust.current.clients is not None
    assert trust.current.front_proxy is not None
    assert "client-ca-file: must hold PEM" in trust.fault


def config_map(data: dict[str, str]) -> dict[str, object]:
    return {"metadata": {"namespace": CONFIG_MAP_NAMESPACE, "name": CONFIG_MAP_NAME}, "data": data}


async def test_the_config_map_is_followed() -> None:
    """Made, changed, deleted: what is in the cluster is in force, and what is not is said."""
    async with fake_kube_api() as (api, client):
        trust = ClusterTrust()
        watch = TrustWatch(client, trust)
        running = asyncio.create_task(watch.run())
        try:
            await until(lambda: watch.synced)
            assert "does not exist" in watch.fault
            await api.put("/api/v1/configmaps", config_map(DATA))
            await until(lambda: trust.current.front_proxy is not None)
            assert watch.fault == ""
            await api.put("/api/v1/configmaps", config_map({**DATA, "requestheader-client-ca-file": OTHER_CA}))
            await until(lambda: OTHER_CA in trust.current.pem)
            await api.delete("/api/v1/configmaps", CONFIG_MAP_NAMESPACE, CONFIG_MAP_NAME)
            await until(lambda: "does not exist" in watch.fault)
            assert OTHER_CA in trust.current.pem
        finally:
            running.cancel()
        path, query = api.requests[0]
        assert path == "/api/v1/namespaces/kube-system/configmaps"
        assert query["fieldSelector"] == "metadata.name=extension-apiserver-authentication"  # all that the Role allows


async def test_missing_rights_are_said_with_the_role_to_bind() -> None:
    async with fake_kube_api() as (api, client):
        api.forbidden.add("/api/v1/configmaps")
        watch = TrustWatch(client, ClusterTrust())
        running = asyncio.create_task(watch.run())
        try:
            await until(lambda: "403" in watch.fault)
        finally:
            running.cancel()
        assert "Role extension-apiserver-authentication-reader of kube-system" in watch.fault
