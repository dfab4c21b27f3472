"""Control planes for the tests of this folder. Without Go and without binaries, all are skipped with one reason."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode does not find the modules beside the tests

from adapter_in_cluster import Adapter
from binaries import Unavailable
from control_plane import ControlPlane
from played_together import played_together, pytest_pyfunc_call, scene, world  # noqa: F401 - fixtures and a hook

StartControlPlane = Callable[..., ControlPlane]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "e2e: against a real control plane (tests/e2e/README.md)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Iterator[None]:
    """What this machine cannot provide is a reason to skip, whichever fixture needs it."""
    try:
        yield
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """The same for a test itself."""
    try:
        yield
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def start_control_plane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> StartControlPlane:
    """ControlPlane.start in a folder of its own; skips where this machine cannot. The caller stops it."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def start(**options: Any) -> ControlPlane:
        folder = tmp_path_factory.mktemp("control-plane")
        try:
            with capture.global_and_fixture_disabled():  # a first build takes minutes: let it be seen
                return ControlPlane.start(folder, **options)
        except Unavailable as reason:
            pytest.skip(f"no control plane: {reason}")

    return start


@pytest.fixture(scope="session")
def control_plane(start_control_plane: StartControlPlane) -> Iterator[ControlPlane]:
    """etcd and kube-apiserver, shared by all tests: write into a namespace of your own."""
    with start_control_plane() as plane:
        yield plane


@pytest.fixture(scope="session")
def cluster(start_control_plane: StartControlPlane) -> Iterator[ControlPlane]:
    """A whole cluster: controllers, scheduler, and kwok's nodes and pods. Shared: use a namespace of your own."""
    with start_control_plane(controllers=True, scheduler=True, kwok=True) as plane:
        yield plane


@pytest.fixture(scope="session")
def adapter(start_control_plane: StartControlPlane) -> Iterator[Adapter]:
    """The adapter, installed and available, with one replica, in a whole cluster of its own (APIServices belong to all
    of a cluster). Shared: use a namespace of your own, and leave a Ready replica behind."""
    with (
        start_control_plane(controllers=True, scheduler=True, kwok=True) as plane,
        Adapter.install(plane) as installed,
    ):
        installed.start_replica().wait_ready()
        installed.wait_available()
        yield installed
