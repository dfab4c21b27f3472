"""Scenarios of a module are played beside each other, because they mostly wait: the fixture `scene`.

    def test_queue_size(scene: Scenario) -> None:
        scene.runs("vllm")
        ...

Each such test gets a namespace of its own, named after it, in the module's `world`; when pytest comes to the first of
them, all that were selected begin, PLAYED_AT_ONCE at a time, and each is reported in its turn. Beside `scene` it may
ask for record_property. A test that takes the world's parts down asks for `world` instead, stands in a module without
`scene`, and has it for itself.
"""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest
from scenario import World, start_world

PLAYED_AT_ONCE = 6  # with the HPA controller's 5 workers and 2 cores, more would only wait for each other
_NAMESPACE_LENGTH = 63


class PlayedTogether:
    """What stands in for `scene` until the hook below runs the test. results: by the test's node id."""

    def __init__(self, results: dict[str, Future[None]]) -> None:
        self.results = results

    def wait(self) -> None:
        """Until all have been played, however they came out."""
        wait(self.results.values())


@pytest.fixture(scope="module")
def world(start_control_plane: Callable[..., Any]) -> Iterator[World]:
    """A cluster with GPUs, model servers, the adapter and the HPA controller (scenario.py)."""
    yield from start_world(start_control_plane)


@pytest.fixture(scope="module")
def played_together(world: World, request: pytest.FixtureRequest) -> Iterator[PlayedTogether]:
    """Starts the selected scenarios of the module."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    mine = [item for item in items if item.module is request.module and "scene" in item.fixturenames]
    assert len({_namespace(item.name) for item in mine}) == len(mine), "two tests in one namespace: shorten their names"
    with ThreadPoolExecutor(PLAYED_AT_ONCE) as pool:
        yield PlayedTogether({item.nodeid: pool.submit(_play, world, item) for item in mine})
        pool.shutdown(cancel_futures=True)


@pytest.fixture
def scene(played_together: PlayedTogether) -> PlayedTogether:
    """A Scenario of the test's own."""
    return played_together


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """For a test that has a `scene`: wait for its result."""
    played = pyfuncitem.funcargs.get("scene")
    if not isinstance(played, PlayedTogether):
        return None
    played.results[pyfuncitem.nodeid].result()
    return True


def _play(world: World, item: pytest.Function) -> None:
    parameters = dict(item.callspec.params) if hasattr(item, "callspec") else {}
    if "record_property" in item.fixturenames:
        parameters["record_property"] = lambda name, value: item.user_properties.append((name, value))
    with world.scenario(_namespace(item.name)) as scene:
        item.obj(scene=scene, **parameters)


def _namespace(test: str) -> str:
    """test_the_guides_run[a|b] -> the-guides-run-a-b"""
    words = re.sub("[^a-z0-9]+", "-", test.removeprefix("test_").lower())
    return words[:_NAMESPACE_LENGTH].strip("-")
