"""What attainment costs with each policy in the whole world: spot nodes, stockouts, quota, staged starts, the bill.

    python benchmarks/world_frontier.py [--demand SPEC ...] [--train-hours H] [--hours H] [--settings N] [--seeds 1,2]
                                        [--pod-deletion-cost] [--json PATH] [--jobs 1]

SPEC: as `leadtime simulate --demand` takes it, files too; by default office hours, flash crowds and the recorded hour
that ships. Requests are thinned to a peak of 45 replicas. The full simulator (benchmarks/node_world/world.py says what
is in it) runs every setting over the whole demand; settings are chosen on the first two thirds, or on --train-hours,
and judged on the rest. USD are node-hours at published prices, from the ask for a node to its end.

Each rival has the cluster-autoscaler only; the one that is cheapest in training runs once more with idle nodes.
--pod-deletion-cost: no rivals; leadtime, and leadtime with podDeletionCost ByNode, setting by setting.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from node_world.choice import Frontier, Outcome, best_of, table
from node_world.contenders import LEADTIME, RIVALS, WITH_HORIZON, Contender, Setting, by_node, with_headroom
from node_world.judged import Answers, Part, part_of
from node_world.world import OBJECTIVE, World, world_of
from parallel import in_order

from policies.errors import BadInput
from simulations.simulate import simulate_together
from simulations.trace import SHIPPED

LENGTHS = "prompt_tokens=1024,prompt_cv=1,output_tokens=256,output_cv=1,max_tokens=8192"


def _ramps(days: int) -> str:
    """Office hours: up within 10 min at 8, 12 and 18 h of every day, by a factor of 4 to 8."""
    parts = [f"poisson:rate=2.5,minutes={1_440 * days},{LENGTHS}"]
    for day in range(days):
        for hour, peak_rate, hold_hours in ((8, 12, 3), (12, 17, 4), (18, 8, 2)):
            parts.append(
                f"flash-crowd:rate=0,peak_rate={peak_rate},at_minutes={1_440 * day + 60 * hour},rise_seconds=600,"
                f"hold_seconds={3_600 * hold_hours:g},decay_seconds=1200,minutes={1_440 * days},{LENGTHS}"
            )
    return " + ".join(parts)


def _crowds() -> str:
    """Two crowds: one in the training part, a steeper and larger one in the judged part."""
    parts = [f"poisson:rate=12,minutes=360,{LENGTHS}"]
    for at_minutes, peak_rate, rise_seconds in ((170, 40, 300), (290, 55, 180)):
        parts.append(
            f"flash-crowd:rate=0,peak_rate={peak_rate},at_minutes={at_minutes},rise_seconds={rise_seconds},"
            f"hold_seconds=1800,decay_seconds=1200,minutes=360,{LENGTHS}"
        )
    return " + ".join(parts)


DEMANDS = (str(SHIPPED), _crowds(), _ramps(3))

Run = tuple[Contender, World, Setting, int]


def main() -> int:
    arguments = _arguments()
    documents = []
    for spec in arguments.demand or DEMANDS:
        try:
            documents.append(_compare(spec, arguments))
        except BadInput as error:
            sys.stderr.write(f"{error}\n")
            return 1
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(documents, indent=2) + "\n")
    return 0


def _compare(spec: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One demand; says what it finds."""
    seeds: Sequence[int] = arguments.seeds
    world = world_of(spec, seed=seeds[0], hours=arguments.hours, train_hours=arguments.train_hours)
    _say(
        f"\n{spec}\n{world.ends / 3_600.0:g} h, judged from {world.judged_from / 3_600.0:g} h on, a share of "
        f"{world.keep:.3g} kept, a peak of {world.peak_replicas:.0f} replicas, seeds {', '.join(map(str, seeds))}"
    )
    began = time.process_time()
    if arguments.pod_deletion_cost:
        frontiers = [_frontier(each, world, arguments) for each in (LEADTIME, by_node(LEADTIME))]
    else:
        rivals = [_frontier(each, world, arguments) for each in RIVALS]
        best = best_of(rivals)
        spared = with_headroom(next(each for each in RIVALS if each.name == best.policy))
        own = [_frontier(each, world, arguments) for each in (LEADTIME, WITH_HORIZON)]
        frontiers = [*own, *rivals, _frontier(spared, world, arguments)]
    _say(f"\n{table(frontiers)}\n({time.process_time() - began:.0f} s of CPU time in this process)")
    return {
        "demand": spec,
        "world": asdict(world),
        "seeds": list(seeds),
        "policies": [
            {
                "policy": each.policy,
                "settings": [
                    {"setting": asdict(one.setting), "train": one.train.as_dict(), "judged": one.judged.as_dict()}
                    for one in each.outcomes
                ],
            }
            for each in frontiers
        ],
    }


def _frontier(contender: Contender, world: World, arguments: argparse.Namespace) -> Frontier:
    runs: list[Run] = [
        (contender, world, setting, seed)
        for setting in contender.settings(arguments.settings, world)
        for seed in arguments.seeds
    ]
    outcomes = []
    found = in_order(run, runs, arguments.jobs)
    for setting in contender.settings(arguments.settings, world):
        parts = [next(found) for _ in arguments.seeds]
        train, judged = (Part.total([part[place] for part in parts]) for place in (0, 1))
        outcomes.append(Outcome(setting=setting, train=train, judged=judged))
        nodes = "" if setting.nodes is None else f", nodes {setting.nodes:g}"
        _say(
            f"  {contender.name} {setting.knob:g}, window {setting.window_seconds} s{nodes}: trained "
            f"{train.attainment:.2%} for ${train.usd:.1f}; judged {judged.attainment:.2%} for ${judged.usd:.1f}, "
            f"{judged.node_hours:.1f} GPU-hours, {judged.ready_hours:.1f} of them ready, spot {judged.spot_share:.0%}, "
            f"{judged.preempted} preempted"
        )
    return Frontier(policy=contender.name, outcomes=outcomes)


def run(task: Run) -> tuple[Part, Part]:
    """One setting and seed over the whole demand: (training part, judged part)."""
    contender, world, setting, seed = task
    scenario = world.scenario(seed)
    workload = replace(scenario.workload, pod_deletion_cost=contender.pod_deletion_cost)
    scenario = replace(scenario, workload=workload)
    answers = Answers(OBJECTIVE)
    loops = [] if contender.loop is None else [contender.loop(setting)]
    result = simulate_together([(scenario, contender.policy(setting))], files=[answers], node_loops=loops)[0]
    lines = result.lifelines
    return (
        part_of(answers, lines.nodes, lines.pods, 0.0, world.judged_from),
        part_of(answers, lines.nodes, lines.pods, world.judged_from, world.ends),
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demand", nargs="+", metavar="SPEC")
    parser.add_argument("--train-hours", type=float)
    parser.add_argument("--hours", type=float, help="of the demand; all of it by default")
    parser.add_argument("--settings", type=int, default=3, help="of each policy")
    parser.add_argument("--seeds", type=lambda text: [int(each) for each in text.split(",")], default=[1])
    parser.add_argument("--pod-deletion-cost", action="store_true", help="leadtime's own, with it and without")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
