"""A Service without a pod network: connections to one port go to the pods that are Ready, as kube-proxy's do."""

import contextlib
import itertools
import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Self

_BYTES = 65536


class ServiceProxy:
    """Passes bytes on; TLS is between the two ends. port: on 127.0.0.1.

    A connection goes to one Ready pod, in turn, and stays there; without a Ready pod it is refused.
    lingering: ports of pods that are endpoints for a while yet, though they have ended: as in a cluster, until the
    kubelet, the EndpointSlice controller and kube-proxy have noticed. connections: how many are open, by pod port.
    connections: how many are open, by the pod's port.
    """

    def __init__(self, ready_ports: Callable[[], Sequence[int]]) -> None:
        self._ready_ports = ready_ports
        self.lingering: frozenset[int] = frozenset()
        self.connections: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._turn = itertools.count()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """No new connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            ports = sorted({*self._ready_ports(), *self.lingering})
            if not ports:
                return
            port = ports[next(self._turn) % len(ports)]
            try:
                pod = socket.create_connection(("127.0.0.1", port), timeout=5.0)
            except OSError:
                return
            pod.settimeout(None)
            self._count(port, 1)
            with pod:
                back = threading.Thread(target=_pump, args=(pod, client), daemon=True)
                back.start()
                _pump(client, pod)
                back.join()
            self._count(port, -1)

    def _count(self, port: int, change: int) -> None:
        with self._lock:
            self.connections[port] += change


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on until one side ends, then end both."""
    with contextlib.suppress(OSError):
        while data := source.recv(_BYTES):
            sink.sendall(data)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
