"""/metrics: what a scrape sees, and that it ends with the object."""

from dataclasses import replace

from made_objects import KEY, at, decision, forecast, outcome
from prometheus_client.parser import text_string_to_metric_families

from autoscaler.act.published import PublishedNeeds
from autoscaler.cluster import Key
from autoscaler.explain.own_metrics import ControllerMetrics
from autoscaler.outcome import Acted


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.is_leader = True

    def now_ns(self) -> int:
        return at(self.seconds)


def made(clock: Clock) -> tuple[ControllerMetrics, PublishedNeeds]:
    published = PublishedNeeds(lambda: clock.is_leader, max_age_seconds=60)
    return ControllerMetrics(published, lambda: clock.is_leader, clock.now_ns), published


def samples(metrics: ControllerMetrics) -> dict[tuple[str, ...], float]:
    """(name, label values in the order of their names) -> value."""
    families = text_string_to_metric_families(metrics.page().decode())
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in families
        for sample in family.samples
    }


def test_steps_are_counted_and_shown():
    metrics, _ = made(Clock())
    metrics.step(outcome(0, seconds=0.004, decided=decision(5, lead_time_seconds=240.0)))
    metrics.step(outcome(15, seconds=0.3, acted=Acted(error="403"), decided=decision(6)))
    metrics.error("Timeout")
    metrics.write("scale", "ok")
    metrics.write("scale", "ok")
    seen = samples(metrics)
    assert seen[("leadtime_controller_reconcile_duration_seconds_count",)] == 2
    assert seen[("leadtime_controller_reconcile_duration_seconds_bucket", "0.005")] == 1
    assert seen[("leadtime_controller_reconcile_duration_seconds_bucket", "+Inf")] == 2
    assert seen[("leadtime_controller_reconcile_errors_total", "Timeout")] == 1
    assert seen[("leadtime_controller_decisions_total", "ReadyForNewScale")] == 2
    assert seen[("leadtime_controller_api_writes_total", "scale", "ok")] == 2
    assert seen[("leadtime_controller_leader",)] == 1
    assert seen[("leadtime_controller_desired_replicas", "llm", "vllm")] == 6
    assert seen[("leadtime_controller_last_decision_timestamp_seconds", "llm", "vllm")] == at(15) / 1e9
    assert seen[("leadtime_controller_condition_ok", "AbleToScale", "llm", "vllm", "FailedUpdateScale")] == 0
    assert ("leadtime_controller_lead_time_seconds", "llm", "vllm") not in seen  # the last step did not know it


def test_the_time_of_the_last_decision_stays_while_steps_decide_nothing():
    """Its age is what the alert on late decisions goes by."""
    metrics, _ = made(Clock())
    name = ("leadtime_controller_last_decision_timestamp_seconds", "llm", "vllm")
    metrics.step(outcome(0, desired=None))
    assert name not in samples(metrics)
    metrics.step(outcome(15))
    metrics.step(outcome(30, desired=None))
    assert samples(metrics)[name] == at(15) / 1e9
    metrics.forget(KEY)
    assert name not in samples(metrics)


def test_the_forecast_is_shown_by_probability_while_there_is_one():
    metrics, _ = made(Clock())
    name = "leadtime_controller_forecast_requests_per_second"
    metrics.step(outcome(0))
    assert not any(sample[0] == name for sample in samples(metrics))
    metrics.step(outcome(15, forecast=forecast(30.0)))
    told = {sample[-1]: value for sample, value in samples(metrics).items() if sample[0] == name}
    assert told == {"0.1": 24.0, "0.5": 30.0, "0.9": 36.0}


def test_the_series_of_an_object_go_with_it():
    metrics, _ = made(Clock())
    metrics.step(outcome())
    metrics.step(replace(outcome(), key=Key("llm", "other")))
    metrics.forget(KEY)
    labels = {part for sample in samples(metrics) for part in sample[1:]}
    assert "other" in labels
    assert "vllm" not in labels


def test_a_published_need_bears_the_time_of_its_decision_and_ends_with_its_age():
    clock = Clock()
    metrics, published = made(clock)
    published.publish(KEY, 21, at(0))
    line = f'leadtime_needed_replicas{{namespace="llm",predictiveautoscaler="vllm"}} 21.0 {at(0) // 1_000_000}'
    clock.seconds = 60
    assert line in metrics.page().decode()
    clock.is_leader = False
    assert "leadtime_needed_replicas{" not in metrics.page().decode()
    clock.is_leader, clock.seconds = True, 61
    assert "leadtime_needed_replicas{" not in metrics.page().decode()
