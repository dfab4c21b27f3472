"""An API server that holds objects by path, and can refuse or be away."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from adapter.sources.kubernetes.api import ApiError

Json = dict[str, Any]


class FakeKubeReader:
    """answers: path -> object, a list of them (one a request), or an error. asked: every path, in order."""

    def __init__(self, answers: Mapping[str, Json | list[Json] | ApiError]) -> None:
        self.answers = dict(answers)
        self.asked: list[str] = []

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, timeout_seconds: float = 10.0) -> Json:
        assert timeout_seconds > 0
        self.asked.append(path + ("?" + "&".join(f"{k}={v}" for k, v in params.items()) if params else ""))
        return self._answer(path)

    async def post(self, path: str, body: Any, *, timeout_seconds: float = 10.0) -> Json:
        assert timeout_seconds > 0
        assert isinstance(body, dict)
        self.asked.append(path)
        return self._answer(path)

    def stream(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        idle_timeout_seconds: float = 90.0,
        on_open: Callable[[], None] | None = None,
    ) -> AsyncIterator[Json]:
        raise AssertionError(f"commands do not watch: {path} {params} {idle_timeout_seconds} {on_open}")

    def _answer(self, path: str) -> Json:
        answer = self.answers.get(path)
        if answer is None:
            raise ApiError(404, "NotFound", f"{path}: the server could not find the requested resource")
        if isinstance(answer, ApiError):
            raise answer
        return answer.pop(0) if isinstance(answer, list) else answer
