"""The metrics adapter beside prometheus-adapter and KEDA, over one Prometheus, in one run.

    python benchmarks/adapter.py [--quick] [--seconds 5] [--rounds 5] [--pods 200] [--peers NAME ...] [--json PATH]

A real kube-apiserver with the pods in it, a real Prometheus that finds and scrapes them, and each adapter as its own
process with a ServiceAccount of its own. The load comes as the aggregation layer's: TLS, the front proxy's
certificate, the HPA controller's user in headers, HPA-shaped requests over 8 connections, each asking again as soon
as it is answered (https_load.c). Sides take turns, and all others are paused (SIGSTOP) meanwhile.

Before anything is timed every side must give the pods' own values with correct ages, also after the pages have
changed. An answer that is not 2xx or is stale fails the run. CPU an answer is that of all the side's processes and
what Prometheus spends more than when nobody asks.

Then 10,000 series on 1,000 pods of the API server, and 10,000 different requests on a timetable of 15 s.

Needs Go's binaries (tests/e2e/README.md), prometheus, a C compiler and OpenSSL's headers; a peer that is not built is
left out with a line. About 7 minutes, --quick below 3. Exits 1 when a target is missed or a run fails.
"""

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from metrics_adapter import scale
from metrics_adapter.agreement import METRIC, Agreement, Disagreement, check
from metrics_adapter.fleet import EVERY_POD, Fleet, external_target, pods_target
from metrics_adapter.load import LoadFailed
from metrics_adapter.processes import machine
from metrics_adapter.report import agreement_lines, as_json, result_lines, scale_lines, targets
from metrics_adapter.rounds import Case, Result, run_case
from metrics_adapter.sides import AnswerRefused, Side
from metrics_adapter.stage import SOURCE_INTERVAL_SECONDS, Stage, StartFailed, Unavailable, stage

PEERS = ("prometheus-adapter", "keda")
PODS_EACH = 10
PARTS = ("peers", "scale")


def main() -> int:
    arguments = _arguments()
    fleet = Fleet(namespace="llm", workloads=arguments.pods // PODS_EACH, pods_each=PODS_EACH)
    about = {**machine(), "python": platform.python_version()}
    sides: list[Side] = []
    agreements: dict[str, Agreement] = {}
    results: list[Result] = []
    scales: list[scale.Scale] = []
    try:
        with stage() as on:
            if "peers" in arguments.parts:
                sides, agreements, results = _beside_peers(on, fleet, arguments, about)
            if "scale" in arguments.parts:
                scales = _at_scale(on, arguments)
    except Unavailable as reason:
        _say(f"adapter: cannot be measured here: {reason}")
        return 1
    except (AnswerRefused, Disagreement, LoadFailed, StartFailed, TimeoutError) as reason:
        _say(f"adapter: FAILED: {reason}")
        return 1
    return _verdict(arguments, about, sides, agreements, results, scales)


def _beside_peers(
    on: Stage, fleet: Fleet, arguments: argparse.Namespace, about: dict[str, object]
) -> tuple[list[Side], dict[str, Agreement], list[Result]]:
    with on.pods(fleet):
        one = on.start_prometheus(fleet)
        about["prometheus"] = one.version()
        source = {"prometheus": {"url": one.url, "intervalSeconds": SOURCE_INTERVAL_SECONDS}}
        sides = [on.start_leadtime(source)]
        for peer in arguments.peers:
            try:
                sides.append(on.start_keda(fleet, one.url) if peer == "keda" else on.start_prometheus_adapter(one.url))
            except Unavailable as reason:
                _say(f"LEFT OUT: {reason}")
        versions = ", ".join(f"{side.name} {side.version}" for side in sides)
        _say(f"{fleet.pods} pods; {versions}; Prometheus {about['prometheus']}; {about['cpu']}, {about['cores']} cores")
        agreements = _agreed(on, fleet, sides, one)
        sides.append(on.start_bare_aiohttp())
        for side in sides:
            side.pause()
        results = []
        for case in _cases(fleet, sides, quick=arguments.quick):
            results += run_case(
                case,
                sides,
                client=on.client,
                prometheus=on.prometheus_group,
                api_server=on.api_server,
                rounds=arguments.rounds,
                seconds=arguments.seconds,
                tell=_say,
            )
        for name in ("leadtime", "prometheus-adapter", "keda-adapter", "keda-operator", "bare-aiohttp", "prometheus"):
            on.stop(name)
    return sides, agreements, results


def _agreed(on: Stage, fleet: Fleet, sides: Sequence[Side], one: object) -> dict[str, Agreement]:
    """Twice, with other values on the pages the second time: nobody may answer from a memory that is too long."""
    agreements = {}
    for again in (False, True):
        if again:
            on.new_generation()
            on.wait_for_values(one, fleet)  # type: ignore[arg-type]
        for side in sides:
            side.wait_until(lambda side=side: _checked(agreements, side, on, fleet, one), "the pods' values")
    for line in agreement_lines(agreements):
        _say(line)
    return agreements


def _checked(agreements: dict[str, Agreement], side: Side, on: Stage, fleet: Fleet, one: object) -> bool:
    try:
        agreements[side.name] = check(side, fleet, on.generation, one)  # type: ignore[arg-type]
    except Disagreement as error:  # it may not have seen the new pages yet; waited for within limits
        raise AnswerRefused(str(error)) from error
    return True


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


def _at_scale(on: Stage, arguments: argparse.Namespace) -> list[scale.Scale]:
    fleet = scale.FLEET
    _say(f"\n{fleet.pods * 10:,} series on {fleet.pods:,} pods of the API server, 10,000 different requests in turn")
    seconds = 30.0 if arguments.quick else 60.0
    with on.pods(fleet):
        scrape = {"scrape": {"intervalSeconds": scale.SCRAPE_INTERVAL_SECONDS}}
        scales = [scale.run_scale(on, scrape, seconds=seconds, tell=_say)]
        if not arguments.quick:
            one = on.start_prometheus(fleet)
            source = {"prometheus": {"url": one.url, "intervalSeconds": scale.SCRAPE_INTERVAL_SECONDS}}
            scales.append(scale.run_scale(on, source, seconds=seconds, tell=_say))
            on.stop("prometheus")
    return scales


def _verdict(
    arguments: argparse.Namespace,
    about: dict[str, object],
    sides: Sequence[Side],
    agreements: dict[str, Agreement],
    results: Sequence[Result],
    scales: Sequence[scale.Scale],
) -> int:
    for line in result_lines(results):
        _say(line)
    ratios = targets(results)
    if ratios:
        _say("\nto prometheus-adapter")
        for one in ratios:
            _say(one.text())
    if scales:
        _say("\n10,000 series on 1,000 pods, collection included")
        for line in scale_lines(scales):
            _say(line)
    if arguments.json is not None:
        content = as_json(machine=about, sides=sides, agreements=agreements, results=results, scales=scales)
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")
    faults = sum(one.faults for one in results) + sum(one.load.non_2xx + one.load.stale for one in scales)
    if faults:
        _say(f"\nFAILED: {faults} answers were not 2xx, or stale")
    missed = [one.name for one in ratios if not one.met] + [text for one in scales for text in one.missed]
    _say(f"\ntargets: {'MISSED: ' + '; '.join(missed) if missed else 'met'}")
    return 1 if missed or faults else 0


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
