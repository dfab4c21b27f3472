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


LONGEST_FIRST = (
    "test_many_hpas",
    "test_scenarios_outages",
    "test_scenarios_metric_loss",
    "test_scenarios_scaling",
    "test_adapter_rights",
    "test_adapter_hpa",
    "test_control_plane",
    "test_adapter_apis",
    "test_controller_failures",
    "test_controller_ahead",
    "test_controller_disturbed",
    "test_controller_modes",
)
"""Modules that several processes (`-n`) begin with, so that none of them is left to the end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fail-on-skip", action="store_true", help="a test that is skipped fails the run (CI with Go)")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "e2e: against a real control plane (tests/e2e/README.md)")
    config.addinivalue_line("markers", "controller: of leadtime's controller: `make e2e-controller`")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What the tests measured (record_property), and how many were run and how many not."""
    stats = terminalreporter.stats
    for report in stats.get("passed", ()):
        for name, text in report.user_properties:
            terminalreporter.section(name)
            terminalreporter.write_line(str(text))
    run, skipped = (sum(len(stats.get(one, ())) for one in kinds) for kinds in (("passed", "failed"), ("skipped",)))
    terminalreporter.section("scenarios on a real control plane")
    terminalreporter.write_line(f"{run} run, {skipped} skipped")
    if skipped and config.getoption("--fail-on-skip"):
        terminalreporter.write_line("--fail-on-skip: none may be skipped here; the reasons are above", red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if session.config.getoption("--fail-on-skip") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


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
