"""Requests as handlers see them, and answers as bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.http_server.refusal import INTERNAL_ERROR, status_body
from adapter.http_server.request import Client, Request
from adapter.http_server.response import response, with_connection, without_body


def made(target: bytes, *headers: tuple[bytes, bytes]) -> Request:
    return Request("GET", target, headers, client=Client())


@pytest.mark.parametrize(
    ("target", "segments"),
    [
        pytest.param(b"/", (), id="root"),
        pytest.param(b"/apis/", ("apis",), id="one-slash-at-the-end-is-ignored"),
        pytest.param(b"/apis//x", ("apis", "", "x"), id="empty-segments-stay"),
        pytest.param(b"/a%2Fb/c", ("a/b", "c"), id="an-encoded-slash-does-not-split"),
        pytest.param(b"/pods/%2A/vllm%3Arunning%7Cgauge", ("pods", "*", "vllm:running|gauge"), id="client-go-encodes"),
        pytest.param(b"/p/*/vllm:running|gauge?x=/y", ("p", "*", "vllm:running|gauge"), id="curl-does-not"),
        pytest.param(b"/%C3%A9", ("é",), id="utf-8"),
        pytest.param("/é".encode(), ("é",), id="utf-8-unencoded"),
        pytest.param(b"/%ff", ("\ufffd",), id="not-utf-8"),
        pytest.param(b"/100%", ("100%",), id="not-an-escape"),
        pytest.param(b"https://host:443/apis/x?a=b", ("apis", "x"), id="absolute-form"),
        pytest.param(b"https://host", (), id="absolute-form-without-path"),
        pytest.param(b"/x?u=https://host/y", ("x",), id="not-absolute-form"),
        pytest.param(b"*", ("*",), id="options-star"),
    ],
)
def test_path_is_decoded_segment_by_segment(target: bytes, segments: tuple[str, ...]) -> None:
    assert made(target).segments == segments


@pytest.mark.parametrize(
    ("target", "query"),
    [
        pytest.param(b"/x", {}, id="none"),
        pytest.param(b"/x?labelSelector=a%3Db%2Cc+in+%28d%29", {"labelSelector": "a=b,c in (d)"}, id="decoded"),
        pytest.param(b"/x?a=1&a=2", {"a": "1"}, id="the-first-counts"),
        pytest.param(b"/x?a", {"a": ""}, id="without-value"),
        pytest.param(b"/x?a=1;b=2", {"a": "1;b=2"}, id="semicolons-do-not-separate"),
        pytest.param(b"/x?a=b?c=d", {"a": "b?c=d"}, id="second-question-mark"),
    ],
)
def test_query_is_decoded(target: bytes, query: dict[str, str]) -> None:
    assert made(target).query == query


@given(st.binary(max_size=1500))
def test_any_target_can_be_read(target: bytes) -> None:
    request = made(target)
    assert isinstance(request.path, str)
    assert all(isinstance(part, str) for part in (*request.segments, *request.query, *request.query.values()))


def test_a_shared_target_cannot_be_changed_by_one_request() -> None:
    with pytest.raises(TypeError):
        made(b"/x?a=1").query["a"] = "2"  # type: ignore[index]


def test_headers_keep_every_value_in_order_whatever_their_case() -> None:
    request = made(b"/", (b"X-Remote-Group", b"a"), (b"x-remote-group", b"b"), (b"Accept", b"c"))
    assert request.headers[b"x-remote-group"] == [b"a", b"b"]
    assert request.header(b"accept") == b"c"
    assert request.header(b"x-remote-user") is None


def test_response_is_complete_http() -> None:
    assert response(200, b"{}", headers=(("ETag", '"x"'),)) == (
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: "x"\r\nContent-Length: 2\r\n\r\n{}'
    )


@pytest.mark.parametrize("status", [204, 304])
def test_not_modified_has_no_body_and_no_length(status: int) -> None:
    answer = response(status, b"ignored", headers=(("ETag", '"x"'),))
    assert b"Content-Length" not in answer
    assert answer.endswith(b'ETag: "x"\r\n\r\n')


@pytest.mark.parametrize(
    ("name", "value"),
    [("Retry-After", "1"), ("retry-AFTER", "1"), ("X", "a\r\nSet-Cookie: b"), ("X\n", "a"), ("", "a"), ("X", "a\0")],
)
def test_headers_that_would_do_harm_are_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"was|must"):
        response(200, headers=((name, value),))


def test_head_and_connection_change_only_what_they_must() -> None:
    answer = response(404, b"missing\r\n\r\n", "text/plain")
    assert without_body(answer) == answer.removesuffix(b"missing\r\n\r\n")
    assert with_connection(answer, b"close").replace(b"Connection: close\r\n", b"") == answer


def test_a_status_has_the_api_s_fields_in_its_order() -> None:
    assert json.loads(status_body(403, "Forbidden", "no", {"kind": "pods"})) == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "no",
        "reason": "Forbidden",
        "details": {"kind": "pods"},
        "code": 403,
    }
    assert "details" not in json.loads(status_body(404, "NotFound", "no"))
    assert b"Retry-After" not in INTERNAL_ERROR
