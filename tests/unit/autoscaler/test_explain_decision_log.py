"""The log of decisions: what is in it decides the same again, and a changed rule is found out."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from made_objects import KEY, at, spec_json
from typer.testing import CliRunner

from autoscaler.cluster import Key
from autoscaler.crd.build import combined_spec
from autoscaler.crd.parse import parse_spec
from autoscaler.explain.decision_log import DecisionLog, RotatingFile
from autoscaler.explain.replay import Replayed, replay
from autoscaler.outcome import Acted
from autoscaler.workload import without_scale_event
from leadtime.replay import replay_command
from policies.combined.decide import combined_policy
from policies.errors import BadInput
from policies.policy import Running
from policies.serving_counters import GENERATION_TOKENS, PROMPT_TOKENS, RUNNING, SUCCEEDED, WAITING
from policies.snapshot import MetricError, MetricQuery, Observation, Pod, PodMetrics, PodSample, Snapshot

SCHEDULE = {"name": "day", "start": "0 8 * * *", "end": "0 9 * * *", "minReplicas": 6}  # the runs begin at 08:00 UTC


class Controller:
    """A policy in a loop, as the reconcile step runs it, on made-up scrapes of growing counters."""

    def __init__(self, log: DecisionLog, key: Key = KEY, **spec: Any) -> None:
        self.log, self.key = log, key
        self.spec = parse_spec(spec_json(**{"maxReplicas": 30, "schedules": [SCHEDULE], **spec}))
        self.running = Running.start(combined_policy(combined_spec(self.spec)))
        self.replicas = 2
        self.steps = 0

    def step(self, *, lost: bool = False, withheld: bool = False) -> None:
        now_ns = at(15 * self.steps)
        self.steps += 1
        snapshot = scraped(self.replicas, now_ns, self.steps, lost=lost)
        before = self.running.state
        made = self.running.step(snapshot, now_ns)
        if withheld:
            self.running.state = without_scale_event(self.running.state, before)
        else:
            self.replicas = made.desired_replicas
        self.log.record(
            self.key,
            self.spec,
            before=before,
            after=self.running.state,
            snapshot=snapshot,
            decision=made,
            acted=Acted(),
            at_ns=now_ns,
            scale_event_taken_back=withheld,
        )


def scraped(replicas: int, now_ns: int, step: int, *, lost: bool) -> Snapshot:
    """After so many steps of a load that grows by 2 requests/s with each step, of 500 and 200 tokens."""
    pods = tuple(
        Pod(name=f"vllm-{each}", phase="Running", ready="True", start_ns=at(-880), ready_transition_ns=at(-600))
        for each in range(replicas)
    )
    answered = 15 * step**2  # of each pod, so that a growing count of pods does not hide the growth of the load
    counted = {
        RUNNING: 10,
        WAITING: step % 3,
        SUCCEEDED: answered,
        PROMPT_TOKENS: 500 * answered,
        GENERATION_TOKENS: 200 * answered,
    }
    observations: dict[MetricQuery, Observation] = {}
    for query, value in counted.items():
        samples = {pod.name: PodSample(value_milli=value * 1000, at_ns=now_ns - 1) for pod in pods}
        observations[query] = MetricError("every page is away") if lost else PodMetrics(samples)
    return Snapshot(replicas=replicas, pods=pods, observations=observations, lead_time_seconds=200.0)


def logged(lines: list[bytes]) -> DecisionLog:
    return DecisionLog(lines.append)


def states(lines: list[bytes]) -> list[int]:
    """Which lines bear a state."""
    return [index for index, line in enumerate(lines) if "state" in json.loads(line)]


def replayed(lines: list[bytes]) -> list[Replayed]:
    return list(replay(lines))


def ups_and_downs(controller: Controller) -> None:
    for step in range(60):
        controller.step(lost=20 <= step < 30, withheld=40 <= step < 45)


def test_every_decision_is_made_again_equal_to_the_last_digit():
    lines: list[bytes] = []
    ups_and_downs(Controller(logged(lines)))
    found = replayed(lines)
    assert len(found) == 60
    assert [each.differences for each in found] == [()] * 60
    assert all(each.again is not None for each in found)
    assert len({each.logged.desired_replicas for each in found}) > 1  # there was something to decide
    assert {each.logged.numbers["known"] for each in found} == {0.0, 1.0}


def test_a_change_of_the_spec_is_in_the_log_and_replayed():
    lines: list[bytes] = []
    controller = Controller(logged(lines))
    controller.step()
    controller.spec = parse_spec(spec_json(maxReplicas=3))
    controller.running = Running(combined_policy(combined_spec(controller.spec)), controller.running.state)
    controller.step()
    assert states(lines) == [0]  # what was learned goes on
    assert [each.differences for each in replayed(lines)] == [(), ()]
    assert replayed(lines)[-1].logged.desired_replicas == 3


def test_a_state_is_written_at_a_start_and_when_something_was_learned():
    def run(learned_before: int | None) -> list[bytes]:
        lines: list[bytes] = []
        controller = Controller(logged(lines))
        for step in range(30):
            if step == learned_before:  # as `learn`, or a past that became known, make of it
                controller.running.state = replace(controller.running.state, needed_replicas=9)
            controller.step(lost=step >= 25)
        return lines

    bearing = states(run(None))
    quiet = next(step for step in range(25, 30) if step not in bearing)
    lines = run(quiet)
    assert bearing[0] == 0
    assert quiet in states(lines)
    assert all(each.again is not None and not each.differences for each in replayed(lines))


def test_states_add_about_an_eighth_and_a_cut_log_is_replayed_from_the_next_one():
    lines: list[bytes] = []
    controller = Controller(logged(lines))
    for _ in range(200):
        controller.step()
    bearing = states(lines)
    assert len(bearing) > 2
    assert sum(len(json.dumps(json.loads(lines[each])["state"])) for each in bearing[1:]) < sum(map(len, lines)) / 6
    cut = bearing[1] + 1
    rest = replayed(lines[cut:])
    first = bearing[2] - cut
    assert [each.again is None for each in rest] == [True] * first + [False] * (len(rest) - first)
    assert not any(each.differences for each in rest)


def test_objects_are_replayed_apart():
    lines: list[bytes] = []
    log = logged(lines)
    one, two = Controller(log), Controller(log, Key("llm", "other"), maxReplicas=8)
    for _ in range(10):
        one.step()
        two.step()
    assert [each.key.name for each in replayed(lines)[:3]] == ["vllm", "other", "vllm"]
    assert not any(each.differences for each in replayed(lines))


def test_another_rule_is_found_out_by_the_fields_that_differ():
    lines: list[bytes] = []
    Controller(logged(lines)).step()
    line = json.loads(lines[0])
    line["decision"]["desired_replicas"] += 1
    line["decision"]["numbers"]["wanted_replicas"] += 0.5
    (found,) = replay([json.dumps(line)])
    assert [each.partition(":")[0] for each in found.differences] == ["desired_replicas", "numbers.wanted_replicas"]


def test_other_lines_of_the_controller_and_one_cut_short_are_passed_over():
    lines: list[bytes] = []
    Controller(logged(lines)).step()
    assert len(list(replay([b'{"level": "INFO"}\n', b"plain\n", b"\xff\n", lines[0][:50], *lines]))) == 1


def test_a_line_that_cannot_be_read_is_named():
    lines: list[bytes] = []
    Controller(logged(lines)).step()
    line = json.loads(lines[0])
    line["snapshot"]["replicas"] = "two"
    with pytest.raises(BadInput, match=r"line 1: snapshot\.replicas: was 'two'"):
        list(replay([json.dumps(line)]))
    del line["atNs"]
    with pytest.raises(BadInput, match="line 1: atNs was missing"):
        list(replay([json.dumps(line)]))


def test_a_file_is_begun_anew_at_its_size_and_never_cut_in_a_line(tmp_path):
    path = tmp_path / "decisions.jsonl"
    file = RotatingFile(path, max_bytes=100)
    for each in range(10):
        file.write(b"%030d\n" % each)
    file.close()
    assert [int(line) for line in path.read_text().splitlines()] == [9]
    assert [int(line) for line in (tmp_path / "decisions.jsonl.1").read_text().splitlines()] == [6, 7, 8]


def test_a_disk_that_refuses_loses_lines_and_says_so_once(tmp_path, caplog):
    folder = tmp_path / "logs"
    folder.mkdir()
    path = folder / "decisions.jsonl"
    file = RotatingFile(path, max_bytes=40)
    file.write(b"1" * 30 + b"\n")
    folder.rename(tmp_path / "away")
    for _ in range(3):
        file.write(b"2" * 30 + b"\n")
    assert len(caplog.records) == 1
    assert "decisions are not logged" in caplog.text
    folder.mkdir()
    file.write(b"3" * 30 + b"\n")
    file.close()
    assert path.read_bytes() == b"3" * 30 + b"\n"


@pytest.fixture
def command() -> Iterator[typer.Typer]:
    app = typer.Typer()
    app.command()(replay_command)
    return app


def log_file(path: Path, lines: list[bytes]) -> str:
    path.write_bytes(b"".join(lines))
    return str(path)


def test_the_command_tells_the_first_difference_and_fails(command, tmp_path):
    lines: list[bytes] = []
    ups_and_downs(Controller(logged(lines)))
    done = CliRunner().invoke(command, [log_file(tmp_path / "good.jsonl", lines)])
    assert (done.exit_code, done.output) == (0, "60 decisions: 60 equal, 0 different\n")

    line = json.loads(lines[7])
    line["decision"]["reason"] = "Changed"
    lines[7] = json.dumps(line).encode() + b"\n"
    done = CliRunner().invoke(command, [log_file(tmp_path / "bad.jsonl", lines), "--print"])
    assert done.exit_code == 1
    assert "60 decisions: 59 equal, 1 different" in done.output
    assert "first difference, 2027-01-15T08:01:45Z llm/vllm Changed" in done.output
    assert done.output.count("llm/vllm") == 61


def test_the_command_refuses_what_is_no_log(command, tmp_path):
    lines: list[bytes] = []
    controller = Controller(logged(lines))
    controller.step()
    controller.step()
    for path, says in (
        (str(tmp_path / "none"), "No such file"),
        (log_file(tmp_path / "empty", [b"{}\n"]), "without a decision"),
        (log_file(tmp_path / "cut", lines[1:]), "give the file before it"),
    ):
        done = CliRunner().invoke(command, [path])
        assert isinstance(done.exception, BadInput)
        assert says in str(done.exception)
