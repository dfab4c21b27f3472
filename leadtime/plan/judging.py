"""What a plan says of its own evidence: what the setting was judged on, and how old the prices are."""

from datetime import date

from leadtime.plan.answer import Plan, Row
from simulations.planning.held_out import Split
from simulations.prices import OLD_DAYS, age_days

_OWN_PRICES = "give today's with --prices FILE (docs/reference/plan.md)"


def judged_on(plan: Plan) -> str:
    """On which days or seeds the answer's attainment and cost are, and what they were where the setting was sought."""
    row, parts, seeds = plan.best, plan.best.split, plan.request.seeds
    if parts.held_out == "nothing":
        return (
            "the same demand that the setting was searched on, with its luck; of two whole days or more, or of a "
            "demand that two --seeds or more draw anew, a part is kept back to judge"
        )
    there = f"{row.searched_attainment:.2%} for ${row.searched_usd_per_month:,.0f}"
    if parts.held_out == "days":
        judged = _numbers("day", range(parts.searched_days + 1, parts.days + 1))
        searched = _numbers("day", range(1, parts.searched_days + 1))
    else:
        judged = _numbers("seed", seeds[parts.searched_runs :])
        searched = _numbers("seed", seeds[: parts.searched_runs])
    return f"{judged}, on which no setting was searched; on {searched}, where it was, {there}"


def lacking(row: Row, asked: float) -> str:
    """Where it attains less than was asked on what it was not searched on: by how much, and what helps; else empty."""
    short = asked - row.attainment.value
    if row.split.held_out == "nothing" or short <= 0.0:
        return ""
    return (
        f"where it was not searched it attains {row.attainment.value:.2%}, {100 * short:.2f} points below what was "
        "asked; ask for more with --attainment, or give more days"
    )


def searched_and_judged(parts: Split) -> str:
    """For the list of what the figures leave out."""
    if parts.held_out == "nothing":
        return "it was searched and judged on the same days"
    apart = "days" if parts.held_out == "days" else "seeds"
    return f"settings were searched on some {apart} of it and judged on the others; the worst hour is of all of it"


def old_prices(plan: Plan, today: date) -> list[str]:
    """A line a machine of the answer or a rival with a price that is old on that day; empty where none is."""
    lines = {}
    for row in plan.rows:
        machine = row.candidate.machine
        prices = [("on demand", machine.as_of)]
        if row.spot is not None:
            prices.append(("spot", machine.spot_as_of))
        old = [
            f"{kind} of {as_of}, {days} days old"
            for kind, as_of in prices
            if as_of and (days := age_days(as_of, today)) > OLD_DAYS
        ]
        if old:
            lines[machine.name] = f"{machine.name} {' and '.join(old)}"
    return list(lines.values())


def prices_text(plan: Plan) -> str:
    """The warning of old prices in one line, empty where none is old."""
    today = plan.request.today or plan.request.start
    old = old_prices(plan, today)
    if not old:
        return ""
    daily = "spot prices change daily: " if any(" spot of " in line for line in old) else ""
    return f"older than {OLD_DAYS} days on {today}: {'; '.join(old)}; {daily}{_OWN_PRICES}"


def _numbers(word: str, values: range | tuple[int, ...]) -> str:
    """`day 2`, `days 3 to 5`, `seeds 1, 2`."""
    if len(values) == 1:
        return f"{word} {values[0]}"
    if isinstance(values, range):
        return f"{word}s {values[0]} to {values[-1]}"
    return f"{word}s {', '.join(map(str, values))}"
