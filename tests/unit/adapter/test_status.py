"""Errors as Status objects."""

import json
from typing import Any

import pytest

from adapter.api.status import CODES, Reason, StatusError, internal_error_response, json_response, status_response


def read(answer: bytes) -> tuple[int, str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode(), json.loads(body)


@pytest.mark.parametrize("reason", list(CODES))
def test_each_reason_has_its_code_in_the_status_line_and_in_the_body(reason: Reason) -> None:
    status, head, body = read(status_response(StatusError(reason, "why")))
    assert status == body["code"] == CODES[reason]
    assert body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "why",
        "reason": reason,
        "code": CODES[reason],
    }
    assert "retry" not in head.lower()


def test_details_say_what_it_is_about_and_leave_out_what_is_empty() -> None:
    error = StatusError("Forbidden", "no", {"name": "*", "group": "custom.metrics.k8s.io", "kind": ""})
    assert read(status_response(error))[2]["details"] == {"name": "*", "group": "custom.metrics.k8s.io"}
    assert "details" not in read(status_response(StatusError("Forbidden", "no", {"name": ""})))[2]


def test_a_fault_of_ours_is_told_without_detail() -> None:
    status, _, body = read(internal_error_response())
    assert (status, body["reason"]) == (500, "InternalError")


def test_json_is_compact_utf_8_with_further_headers() -> None:
    answer = json_response({"é": [1, 2]}, 201, (("Vary", "Accept"),))
    assert answer.startswith(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nVary: Accept\r\n")
    assert answer.endswith(b"\r\n\r\n" + '{"é":[1,2]}'.encode())
