"""A small client of the Kubernetes API for tests: paths and JSON, so that a test says exactly what is on the wire."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import urllib3
import yaml

Object = dict[str, Any]
"""A Kubernetes object, as JSON or YAML has it."""

FIELD_MANAGER = "leadtime-e2e"
POLL_SECONDS = 0.1


class ApiError(Exception):
    """A reply other than 2xx. status: the HTTP code; reason, message: those of the Status object."""

    def __init__(self, request: str, status: int, body: bytes) -> None:
        try:
            self.body: Object = json.loads(body)
        except ValueError:
            self.body = {"message": body.decode(errors="replace")}
        self.status = status
        self.reason = str(self.body.get("reason", ""))
        self.message = str(self.body.get("message", ""))
        super().__init__(f"{request}: {status} {self.reason}: {self.message}")


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: HTTP status, headers, body as sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Api:
    """The API server as one user sees it. Thread-safe; it blocks, so call it from a coroutine by asyncio.to_thread.

    A wrong or unknown field of a written object is refused (fieldValidation=Strict): a test's typo is not a pass.
    """

    def __init__(
        self,
        server: str,
        certificate_authority: Path,
        *,
        client_certificate: tuple[Path, Path] | None = None,
        token: str | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        self.server = server
        certificate, key = client_certificate or (None, None)
        self._pool = urllib3.PoolManager(
            ca_certs=str(certificate_authority),
            cert_file=certificate and str(certificate),
            key_file=key and str(key),
            timeout=timeout_seconds,
            retries=False,
            maxsize=8,
        )
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._resources: dict[str, dict[str, Object]] = {}  # by apiVersion, then kind

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Self:
        """As the current context says; files are named, not embedded (as control_plane.py writes them)."""
        config = yaml.safe_load(path.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        pair = (Path(user["client-certificate"]), Path(user["client-key"])) if "client-certificate" in user else None
        authority = Path(cluster["certificate-authority"])
        return cls(cluster["server"], authority, client_certificate=pair, token=user.get("token"))

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request; any HTTP status is an answer. Raises urllib3's errors when there is none."""
        reply = self._pool.request(method, self.server + path, body=body, headers={**self._headers, **(headers or {})})
        return Reply(reply.status, reply.headers, reply.data)

    def call(
        self, method: str, path: str, body: Object | None = None, *, content_type: str = "application/json"
    ) -> Any:
        """One request with a JSON body; the JSON of a 2xx reply. Raises ApiError on any other."""
        data = None if body is None else json.dumps(body).encode()
        reply = self.send(method, path, data, {"Content-Type": content_type} if data else None)
        if not 200 <= reply.status < 300:
            raise ApiError(f"{method} {path}", reply.status, reply.body)
        return reply.json()

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def create(self, path: str, body: Object) -> Any:
        """POST to a collection's path, or to a subresource's."""
        return self.call("POST", f"{path}?fieldValidation=Strict", body)

    def merge(self, path: str, patch: Object) -> Any:
        """JSON merge patch (RFC 7386); also of a subresource, such as /status and /scale."""
        return self.call("PATCH", path, patch, content_type="application/merge-patch+json")

    def delete(self, path: str) -> Any:
        """At once, without a grace period."""
        return self.call("DELETE", f"{path}?gracePeriodSeconds=0")

    def apply(self, objects: Path | Object | Iterable[Object]) -> list[Object]:
        """Server-side apply, in order; a folder's YAML files by name. Objects without a namespace go to "default"."""
        return [self._apply_one(item) for item in _objects(objects)]

    def wait(self, path: str, until: Callable[[Object], object], *, timeout_seconds: float = 30.0) -> Object:
        """GET until until(object) is true, and return that object. Raises TimeoutError with what was seen last."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                seen: Object = self.get(path)
                if until(seen):
                    return seen
            except ApiError as error:  # not there yet
                seen = error.body
            except urllib3.exceptions.HTTPError as error:  # no answer, as from an aggregated API that starts
                seen = {"error": repr(error)}
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path}: not as awaited after {timeout_seconds:g} s; last seen: {json.dumps(seen)}")
            time.sleep(POLL_SECONDS)

    def path_of(self, item: Object) -> str:
        """Where this object is found in the API."""
        version, metadata = item["apiVersion"], item["metadata"]
        resource = self._resource(version, item["kind"])
        scope = f"/namespaces/{metadata.get('namespace', 'default')}" if resource["namespaced"] else ""
        return f"{_prefix(version)}{scope}/{resource['name']}/{metadata['name']}"

    def _apply_one(self, item: Object) -> Object:
        path = f"{self.path_of(item)}?fieldManager={FIELD_MANAGER}&force=true&fieldValidation=Strict"
        applied: Object = self.call("PATCH", path, item, content_type="application/apply-patch+yaml")
        return applied

    def _resource(self, version: str, kind: str) -> Object:
        """The APIResource of a kind; asks again for one unknown so far (its CRD may have come since)."""
        if kind not in self._resources.get(version, {}):
            listed = self.get(_prefix(version))["resources"]
            self._resources[version] = {entry["kind"]: entry for entry in listed if "/" not in entry["name"]}
        if kind not in self._resources[version]:
            raise LookupError(f"{version} has no kind {kind}; it has {', '.join(sorted(self._resources[version]))}")
        return self._resources[version][kind]


def _objects(source: Path | Object | Iterable[Object]) -> Iterable[Object]:
    """The objects of a YAML file, of a folder of them, or of Python; Lists are unfolded."""
    if isinstance(source, Path):
        files = sorted(source.glob("*.yaml")) if source.is_dir() else [source]
        given: Iterable[Object] = [item for file in files for item in yaml.safe_load_all(file.read_text())]
    else:
        given = [source] if isinstance(source, dict) else source
    for item in given:
        if item:  # an empty YAML document is None
            yield from item["items"] if item["kind"].endswith("List") and "items" in item else (item,)


def _prefix(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _named(entries: Iterable[Object], name: str) -> Object:
    return next(entry for entry in entries if entry["name"] == name)
