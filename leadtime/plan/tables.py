"""A plan on a terminal: the answer, what was compared, the check, the months, the next nines."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from leadtime.plan.answer import Plan
from leadtime.plan.words import answer, caveats, check_text, hour_text, knob, short


def print_plan(console: Console, plan: Plan) -> None:
    """Everything but the manifests."""
    console.print()
    console.print(_answer(plan))
    console.print()
    console.print(_compared(plan))
    for line in (*map(str, plan.refused), *map(str, plan.missed)):
        console.print(f"not possible: {line}", highlight=False, markup=False, soft_wrap=True)
    for row in plan.rows:
        for note in row.candidate.notes:
            if row.policy == plan.rows[0].policy or row is plan.best:
                console.print(f"{row.candidate.name}: {note}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"\nWorst hour, {hour_text(plan)}", highlight=False, markup=False)
    for check in plan.checks:
        console.print(f"  {check_text(check)}", highlight=False, markup=False, soft_wrap=True)
    console.print()
    console.print(_nines(plan))
    if plan.request.growth_per_month != 1.0 and len(plan.months) > 1:
        console.print()
        console.print(_months(plan))
    console.print("\nNot in these figures:", highlight=False)
    for line in caveats(plan):
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def _answer(plan: Plan) -> Table:
    table = _table(f"{plan.demand_name}: {plan.requests:,.0f} requests in {plan.seconds / 3_600:,.1f} h")
    table.show_header = False
    table.add_column("question", style="bold", no_wrap=True)
    table.add_column("answer")
    for question, text in answer(plan):
        table.add_row(question, Text(text))
    return table


def _compared(plan: Plan) -> Table:
    table = _table("What attained it, cheapest first")
    for title in ("GPU", "policy", "setting"):
        table.add_column(title, no_wrap=True)
    for title in ("attainment", "replicas", "peak", "cost a month"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in plan.rows:
        table.add_row(
            row.candidate.name,
            row.policy,
            knob(row.policy, row.parameters),
            short(row.attainment, ".2%"),
            short(row.replicas, ".1f"),
            short(row.peak_replicas),
            short(row.usd_per_month, ",.0f", "$"),
        )
    return table


def _nines(plan: Plan) -> Table:
    table = _table(f"The next nine: {plan.best.candidate.name}, {plan.best.policy}")
    for title in ("asked", "delivered", "replicas", "peak", "cost a month"):
        table.add_column(title, justify="right")
    for nine in plan.nines:
        row = nine.row
        if row is None:
            table.add_row(f"{nine.level:.2%}", f"not reached: {nine.nearest:.2%}", "", "", "")
        else:
            table.add_row(
                f"{nine.level:.2%}",
                short(row.attainment, ".2%"),
                short(row.replicas, ".1f"),
                short(row.peak_replicas),
                short(row.usd_per_month, ",.0f", "$"),
            )
    return table


def _months(plan: Plan) -> Table:
    table = _table(f"Months ahead, {plan.request.growth_per_month:g} times the demand from each to the next")
    for title in ("month", "from", "demand", "peak", "GPUs", "attainment", "cost a month", "setting"):
        table.add_column(title, justify="right", no_wrap=True)
    for month in plan.months:
        table.add_row(
            str(month.month),
            str(month.day),
            f"x {month.factor:.2f}",
            short(month.peak_replicas),
            short(month.peak_gpus),
            short(month.attainment, ".2%"),
            short(month.usd_per_month, ",.0f", "$"),
            knob(plan.best.policy, month.parameters),
        )
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False, padding=(0, 1))
