"""What tests read from kube-controller-manager's metrics and log, on lines as it writes them."""

import math

import pytest
from controller_metrics import COMPUTATION_SECONDS, COMPUTATIONS, SYNC_SECONDS, SYNCS, ControllerMetrics, parse
from sync_log import longest_gap_seconds
from sync_log import parse as parse_line

PAGE = f"""
# TYPE {SYNCS} counter
{SYNCS}{{action="none",error="internal"}} 1
{SYNCS}{{action="none",error="none"}} 7
{SYNCS}{{action="scale_up",error="none"}} 2
# TYPE {SYNC_SECONDS} histogram
{SYNC_SECONDS}_bucket{{action="none",error="none",le="0.004"}} 2
{SYNC_SECONDS}_bucket{{action="none",error="none",le="0.008"}} 6
{SYNC_SECONDS}_bucket{{action="none",error="none",le="+Inf"}} 8
{SYNC_SECONDS}_sum{{action="none",error="none"}} 0.08
{SYNC_SECONDS}_count{{action="none",error="none"}} 8
# TYPE apiserver_audit_event_total counter
apiserver_audit_event_total 3
"""
LINE = (
    'I0228 23:59:20.240418    9855 horizontal.go:907] "Proposing desired replicas" desiredReplicas=2 '
    'metric="pods metric kubernetes.io|container|accelerator|duty_cycle" tolerances="[down:10.0%, up:10.0%]" '
    'timestamp="2026-02-28 23:59:19 +0000 UTC" scaleTarget="Deployment/team-0/vllm-4"'
)


def test_counters_are_summed_over_the_labels_that_are_not_asked_for() -> None:
    metrics = ControllerMetrics(0.0, parse(PAGE))
    assert metrics.total(SYNCS) == 10
    assert metrics.total(SYNCS, error="none") == 9
    assert metrics.total(SYNCS, error="spec") == 0
    assert metrics.total(COMPUTATIONS) == 0


def test_a_difference_holds_what_was_added_and_series_that_are_new() -> None:
    before = ControllerMetrics(10.0, parse(PAGE.replace('action="scale_up",error="none"} 2', "} 0")))
    grown = ControllerMetrics(25.0, parse(PAGE)).since(before)
    assert grown.seconds == 15.0
    assert grown.total(SYNCS) == grown.total(SYNCS, action="scale_up") == 2
    assert math.isnan(grown.quantile(SYNC_SECONDS, 0.5))


def test_quantiles_are_interpolated_within_a_bucket_and_the_last_bucket_is_its_bound() -> None:
    metrics = ControllerMetrics(0.0, parse(PAGE))
    assert metrics.quantile(SYNC_SECONDS, 0.5) == pytest.approx(0.006)  # the 4th of 8: 2 of 4 into the second bucket
    assert metrics.quantile(SYNC_SECONDS, 0.99) == 0.008
    assert metrics.mean(SYNC_SECONDS) == pytest.approx(0.01)
    assert math.isnan(metrics.quantile(COMPUTATION_SECONDS, 0.5))
    assert math.isnan(metrics.mean(COMPUTATION_SECONDS))


def test_a_decisions_line_tells_the_age_of_the_value() -> None:
    sync = parse_line(LINE)
    assert sync is not None
    assert (sync.target, sync.age_seconds) == ("Deployment/team-0/vllm-4", 1.240418)
    later = parse_line(LINE.replace("23:59:20.24", "23:59:25.74"))
    assert later is not None
    assert longest_gap_seconds([sync, later]) == pytest.approx(5.5)
    assert longest_gap_seconds([sync]) == 0.0
    assert parse_line(LINE.replace("Proposing desired replicas", "Decided not to scale")) is None
