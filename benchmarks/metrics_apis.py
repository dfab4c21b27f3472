"""The metrics adapter beside prometheus-adapter and KEDA, over one Prometheus, in one run.

    python benchmarks/metrics_apis.py [--quick] [--seconds 5] [--rounds 5] [--pods 200] [--peers NAME ...] [--json PATH]

A real kube-apiserver with the pods in it, a real Prometheus that finds and scrapes them, and each adapter as its own
process with a ServiceAccount of its own. The load comes as the aggregation layer's: TLS, the front proxy's
certificate, the HPA controller's user in headers, HPA-shaped requests over 8 connections, each asking again as soon
as it is answered (https_load.c). Sides take turns, and all others are paused (SIGSTOP) meanwhile.

Before anything is timed every side must give the pods' own values with correct ages, also after the pages have
changed. An answer that is not 2xx or is stale fails the run. CPU an answer is that of all the side's processes and
what Prometheus spends more than when nobody asks.

Then 10,000 series on 1,000 pods of the API server, and 10,000 different requests on a timetable of 15 s.

Needs Go's binaries (tests/e2e/README.md), prometheus, a C compiler and OpenSSL's headers; a peer that is not built is
left out with a line. About 9 minutes, --quick 3 at most. Exits 1 when a target is missed or a run fails.
"""

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from metrics_adapter import scale
from metrics_adapter.agreement import METRIC, Agreement, check
from metrics_adapter.fleet import EVERY_POD, Fleet, external_target, pods_target
from metrics_adapter.load import LoadFailed
from metrics_adapter.processes import machine
from metrics_adapter.prometheus import SCRAPE_INTERVAL_SECONDS, Prometheus
from metrics_adapter.report import Figures, agreement_lines, result_lines, scale_lines
from metrics_adapter.rounds import Case, run_case
from metrics_adapter.sides import AnswerRefused, Side
from metrics_adapter.stage import Stage, StartFailed, Unavailable, stage

PEERS = ("prometheus-adapter", "keda")
PODS_EACH = 10
PARTS = ("peers", "scale")


def main() -> int:
    arguments = _arguments()
    figures = Figures(machine={**machine(), "python": platform.python_version()})
    try:
        with stage() as on:
            if "peers" in arguments.parts:
                _beside_peers(on, arguments, figures)
            if "scale" in arguments.parts:
                _at_scale(on, arguments, figures)
    except Unavailable as reason:
        _say(f"adapter: cannot be measured here: {reason}")
        return 1
    except (AnswerRefused, LoadFailed, StartFailed, TimeoutError) as reason:
        _say(f"adapter: FAILED: {reason}")
        return 1
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures.as_json(), indent=2) + "\n")
    if figures.faults:
        _say(f"\nFAILED: {figures.faults} answers were not 2xx, or stale")
    _say(f"\ntargets: {'MISSED: ' + '; '.join(figures.missed) if figures.missed else 'met'}")
    return 1 if figures.missed or figures.faults else 0


def _beside_peers(on: Stage, arguments: argparse.Namespace, figures: Figures) -> None:
    fleet = Fleet(namespace="llm", workloads=arguments.pods // PODS_EACH, pods_each=PODS_EACH)
    with on.pods(fleet):
        prometheus = on.start_prometheus(fleet, SCRAPE_INTERVAL_SECONDS)
        url = prometheus.url
        sides = [on.start_leadtime({"prometheus": {"url": url, "intervalSeconds": SCRAPE_INTERVAL_SECONDS}})]
        for peer in arguments.peers:
            try:
                sides.append(on.start_keda(fleet, url) if peer == "keda" else on.start_prometheus_adapter(url))
            except Unavailable as reason:
                _say(f"LEFT OUT: {reason}")
        figures.versions = {side.name: side.version for side in sides} | {"Prometheus": prometheus.version()}
        versions = ", ".join(f"{name} {version}" for name, version in figures.versions.items())
        _say(f"{fleet.pods} pods; {versions}; {figures.machine['cpu']}, {figures.machine['cores']} cores")
        figures.agreements = _agreed(on, fleet, sides, prometheus)
        sides.append(on.start_bare_aiohttp())
        for side in sides:
            side.pause()
        for case in _cases(fleet, sides, quick=arguments.quick):
            figures.results += run_case(
                case,
                sides,
                client=on.client,
                around=on.around,
                rounds=arguments.rounds,
                seconds=arguments.seconds,
                tell=_say,
            )
        on.stop(*(side.name for side in sides), "keda-operator", "prometheus")
    for line in (*result_lines(figures.results), *(one.text() for one in figures.ratios)):
        _say(line)


def _agreed(on: Stage, fleet: Fleet, sides: Sequence[Side], prometheus: Prometheus) -> dict[str, Agreement]:
    """Twice, with other values on the pages the second time: nobody may answer from a memory that is too long."""
    agreements: dict[str, Agreement] = {}

    def agrees(side: Side) -> bool:
        agreements[side.name] = check(side, fleet, on.generation, prometheus)
        return True

    for again in (False, True):
        if again:
            on.new_generation()
            on.wait_for_values(prometheus, fleet)
        for side in sides:
            side.wait_until(partial(agrees, side), "the pods' values")
    for line in agreement_lines(agreements):
        _say(line)
    return agreements


def _cases(fleet: Fleet, sides: Sequence[Side], *, quick: bool) -> list[Case]:
    workloads = range(fleet.workloads)
    external = {
        side.name: [
            side.external(each) if side.external else external_target(fleet.namespace, METRIC, fleet.selector(each))
            for each in workloads
        ]
        for side in sides
    }
    pods = [pods_target(fleet.namespace, METRIC, fleet.selector(each)) for each in workloads]
    every = [pods_target(fleet.namespace, METRIC, EVERY_POD)]
    with_pods = [side.name for side in sides if side.serves_pods]
    cases = [
        Case(name=f"External, {PODS_EACH} pods each", targets=external),
        Case(name=f"pods/*, {PODS_EACH} pods each", targets=dict.fromkeys(with_pods, pods)),
        Case(name=f"pods/*, all {fleet.pods}", targets=dict.fromkeys(with_pods, every)),
    ]
    return cases[:2] if quick else cases


def _at_scale(on: Stage, arguments: argparse.Namespace, figures: Figures) -> None:
    fleet = scale.FLEET
    _say(f"\n{fleet.pods * 10:,} series on {fleet.pods:,} pods of the API server, 10,000 different requests in turn")
    seconds = 30.0 if arguments.quick else 60.0
    with on.pods(fleet):
        scrape = {"scrape": {"intervalSeconds": scale.INTERVAL_SECONDS}}
        figures.scales.append(scale.run_scale(on, scrape, seconds=seconds, tell=_say))
        if not arguments.quick:
            url = on.start_prometheus(fleet, scale.INTERVAL_SECONDS).url
            source = {"prometheus": {"url": url, "intervalSeconds": scale.INTERVAL_SECONDS}}
            figures.scales.append(scale.run_scale(on, source, seconds=seconds, tell=_say))
            on.stop("prometheus")
    for line in scale_lines(figures.scales):
        _say(line)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the metrics adapter beside its peers, over one Prometheus")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 3 s, two cases, one source: below 3 minutes")
    parser.add_argument("--seconds", type=float, help="of one turn (default 5)")
    parser.add_argument("--rounds", type=int, help="turns of each side (default 5)")
    parser.add_argument("--pods", type=int, default=200, help=f"a multiple of {PODS_EACH} (default 200)")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS, help="default: both")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: both")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    arguments.seconds = arguments.seconds or (3.0 if arguments.quick else 5.0)
    arguments.rounds = arguments.rounds or (3 if arguments.quick else 5)
    if arguments.pods < PODS_EACH or arguments.pods % PODS_EACH or arguments.pods > 5000:
        parser.error(f"--pods: was {arguments.pods}, must be a multiple of {PODS_EACH} in [{PODS_EACH}, 5000]")
    if not 1 <= arguments.seconds <= 600 or not 1 <= arguments.rounds <= 100:
        parser.error("--seconds must be in [1, 600], --rounds in [1, 100]")
    return arguments


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
