"""`leadtime simulate`: a scenario with its policies, in process and in virtual time."""

import sys
from pathlib import Path

from leadtime import scenario as options
from leadtime.outcome import console_for_tables, present
from leadtime.run_all import check_parquet, run_all
from leadtime.scenario_build import notes_of, runs_of
from leadtime.scenario_file import scenario_yaml


def simulate_command(
    *,
    scenario: options.ScenarioArgument,
    policy: options.PoliciesOption = None,
    profile: options.GivenProfileOption = None,
    ttft_slo_seconds: options.GivenTtftOption = None,
    tpot_slo_seconds: options.GivenTpotOption = None,
    initial_replicas: options.GivenInitialOption = None,
    max_replicas: options.GivenMaxOption = None,
    price_per_gpu_hour: options.GivenPriceOption = None,
    minutes: options.GivenMinutesOption = None,
    quick: options.QuickOption = False,
    skip_bad_rows: options.SkipBadRowsOption = False,
    seed: options.GivenSeedOption = None,
    set_: options.SetOption = None,
    print_scenario: options.PrintScenarioOption = False,
    report: options.ReportOption = Path("leadtime-simulate.html"),
    json: options.JsonOption = None,
    parquet: options.ParquetOption = None,
) -> None:
    """Run the policies of a scenario over its demand: a table, an HTML report, JSON."""
    file = options.scenario_draft(
        scenario,
        settings=set_,
        policies=policy,
        profile=profile,
        ttft_slo_seconds=ttft_slo_seconds,
        tpot_slo_seconds=tpot_slo_seconds,
        initial_replicas=initial_replicas,
        max_replicas=max_replicas,
        price_per_gpu_hour=price_per_gpu_hour,
        minutes=minutes,
        quick=quick,
        skip_bad_rows=skip_bad_rows,
        seed=seed,
    ).checked()
    if print_scenario:
        sys.stdout.write(scenario_yaml(file))
        return
    options.check_outputs(report, json)
    runs = runs_of(file)
    check_parquet(parquet)
    console = console_for_tables()
    for note in notes_of(file):
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    results = run_all(console, runs, parquet)
    present(console, [result for workloads in results for result in workloads], report, json)
