"""Objects of the API server as they are now, and each change as it comes: a list, then a watch, in a thread."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import urllib3
from kube_api import Api, Object

RETRY_SECONDS = 0.2
WATCH_SECONDS = 60  # of one watch, which the server then ends


class KubeWatch:
    """A collection's objects, kept by a thread that ends with the process or by close().

    on_change: called in that thread with "ADDED", "MODIFIED" or "DELETED" and the object; what a broken watch missed is
    told after the next list. synced: set when the first list is in.
    """

    def __init__(self, kubeconfig: Path, path: str, on_change: Callable[[str, Object], None]) -> None:
        """path: of a collection, such as "/api/v1/pods", with a selector as its query if need be."""
        self.synced = threading.Event()
        self._api = _StreamingApi.from_kubeconfig(kubeconfig)
        self._path, self._on_change = path, on_change
        self._objects: dict[str, Object] = {}
        self._closed = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        """No more changes are told. The thread itself ends with its present watch."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                version = self._list()
                self.synced.set()
                self._watch(version)
            except (urllib3.exceptions.HTTPError, OSError, ValueError):  # the server went, or half a line came
                time.sleep(RETRY_SECONDS)

    def _list(self) -> str:
        """Tell what differs from what was known; the list's resourceVersion."""
        reply = self._api.send("GET", self._path)
        if reply.status != 200:
            raise ValueError(f"{self._path}: {reply.status}")
        listed: Any = reply.json()
        seen = {item["metadata"]["uid"]: item for item in listed["items"]}
        for uid in [uid for uid in self._objects if uid not in seen]:
            self._tell("DELETED", self._objects[uid])
        for uid, item in seen.items():
            known = self._objects.get(uid)
            if known is None:
                self._tell("ADDED", item)
            elif known["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
                self._tell("MODIFIED", item)
        version: str = listed["metadata"]["resourceVersion"]
        return version

    def _watch(self, version: str) -> None:
        query = f"watch=1&resourceVersion={version}&timeoutSeconds={WATCH_SECONDS}"
        for line in self._api.lines(f"{self._path}{'&' if '?' in self._path else '?'}{query}"):
            if self._closed.is_set():
                return
            event = json.loads(line)
            if event["type"] == "ERROR":  # 410 Gone: list again
                return
            self._tell(event["type"], event["object"])

    def _tell(self, change: str, item: Object) -> None:
        uid = item["metadata"]["uid"]
        if change == "DELETED":
            self._objects.pop(uid, None)
        else:
            self._objects[uid] = item
        if not self._closed.is_set():
            self._on_change(change, item)


class _StreamingApi(Api):
    def lines(self, path: str) -> Iterator[bytes]:
        """A reply's lines as they come, until its end. Raises urllib3's errors, and ValueError if it is not 200."""
        reply = self._pool.request("GET", self.server + path, headers=self._headers, preload_content=False)
        try:
            if reply.status != 200:
                raise ValueError(f"{path}: {reply.status}")
            rest = b""
            for chunk in reply.stream(65536):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from lines
        finally:
            reply.close()
