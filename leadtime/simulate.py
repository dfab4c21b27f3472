"""`leadtime simulate`: policies side by side on recorded demand, in process and in virtual time."""

import difflib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from leadtime import scenario as options
from leadtime.demo.policies import POLICIES, demo_policy
from leadtime.manifests.read import read_policy
from leadtime.outcome import console_for_tables, present
from leadtime.view import view_for
from policies.entry import parameters
from policies.errors import BadInput
from policies.policy import Policy
from policies.registry import configured, named
from simulations.derived import AGGREGATES
from simulations.exporter import POD_SERIES
from simulations.pipeline import is_simulated
from simulations.results import Result
from simulations.scenario import Scenario
from simulations.simulate import simulate


def simulate_command(
    *,
    trace: options.TraceArgument,
    policy: Annotated[
        list[str],
        typer.Option(
            "--policy",
            help="A name from `leadtime policies`, with parameters as NAME:key=value,key=value, or a manifest "
            "(HPA, KEDA ScaledObject, Knative or KServe) as it stands. Repeat for more.",
        ),
    ],
    profile: options.ProfileOption = options.DEFAULT_PROFILE,
    ttft_slo_seconds: options.TtftOption = options.DEFAULT_SLO.ttft_seconds,
    tpot_slo_seconds: options.TpotOption = options.DEFAULT_SLO.tpot_seconds,
    initial_replicas: options.InitialReplicasOption = 4,
    max_replicas: options.MaxReplicasOption = 20,
    price_per_gpu_hour: options.PriceOption = 0.71,
    minutes: options.MinutesOption = None,
    quick: options.QuickOption = False,
    seed: options.SeedOption = 1,
    report: options.ReportOption = Path("leadtime-simulate.html"),
    json: options.JsonOption = None,
) -> None:
    """Run policies over a trace and compare them: a table, an HTML report, JSON."""
    options.check_outputs(report, json)
    scenario = options.read_scenario(
        trace=trace,
        profile=profile,
        ttft_slo_seconds=ttft_slo_seconds,
        tpot_slo_seconds=tpot_slo_seconds,
        initial_replicas=initial_replicas,
        max_replicas=max_replicas,
        price_per_gpu_hour=price_per_gpu_hour,
        minutes=minutes,
        quick=quick,
        seed=seed,
    )
    chosen = [policy_from(text, scenario, max_replicas) for text in policy]
    for text, each in zip(policy, chosen, strict=True):
        _check_metrics(text, each)
    console = console_for_tables()
    results: list[Result] = []
    for each in chosen:
        with view_for(console) as view:
            results.append(simulate(scenario, each, on_sync=view.update))
    present(console, results, report, json)


def _check_metrics(text: str, policy: Policy[Any, Any]) -> None:
    """Refuse a policy whose metric no simulated exporter has: it would only ever hold."""
    for query in policy.queries:
        if not is_simulated(query):
            near = difflib.get_close_matches(query.name, sorted(POD_SERIES | AGGREGATES), n=3, cutoff=0.3)
            raise BadInput(
                f"--policy {text}: {query.type} metric {query.name!r} is not simulated; "
                f"the nearest that are: {', '.join(near) or 'none'}"
            )


def policy_from(text: str, scenario: Scenario, max_replicas: int) -> Policy[Any, Any]:
    """The policy that `--policy` names: a manifest's path, one of the demo's two, or NAME[:key=value,...]."""
    path = Path(text)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        return read_policy(path)
    name, _, settings = text.partition(":")
    if name in POLICIES and not settings:
        return demo_policy(name, scenario, max_replicas)
    known = {parameter.name for parameter in parameters(named(name))}
    fitting = {"max_replicas": str(max_replicas), "profile": scenario.profile.name}
    fitting["tpot_seconds"] = str(scenario.slo.tpot_seconds)
    values = {key: value for key, value in fitting.items() if key in known} | _settings(text, settings)
    return replace(configured(name, values), name=text)


def _settings(text: str, settings: str) -> dict[str, str]:
    """`key=value,key=value` as a mapping."""
    pairs: dict[str, str] = {}
    for part in settings.split(",") if settings else ():
        key, equals, value = part.partition("=")
        if not equals:
            raise BadInput(f"--policy {text}: {part!r} must be key=value")
        pairs[key.strip()] = value.strip()
    return pairs
