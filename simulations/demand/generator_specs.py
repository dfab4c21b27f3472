"""The generators as people set them: every parameter with its unit, its default and what it means."""

from dataclasses import dataclass
from pathlib import Path

from policies.entry import parameter
from policies.errors import BadInput
from simulations.demand import shapes
from simulations.demand.batch_jobs import LOW_PRIORITY, batch_jobs
from simulations.demand.drawn import Drawn, Lengths
from simulations.demand.gaps import Gaps
from simulations.demand.lengths import EmpiricalLengths, Lognormal, LognormalLengths
from simulations.demand.processes import Processes
from simulations.demand.rate_curve import RateCurve
from simulations.demand.sessions import Sessions
from simulations.demand.think_time import ThinkTime
from simulations.demand.transformations import partly_streaming
from simulations.demand.users import Users
from simulations.trace import Demand
from simulations.trace_files import read_trace

MAX_MINUTES = 400 * 1_440.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Generated:
    minutes: float = parameter("min", "how long", 60.0)
    prompt_tokens: float = parameter("tokens", "mean prompt", 512.0)
    prompt_cv: float = parameter("", "coefficient of variation of prompts, lognormal; 0 is constant", 0.0)
    output_tokens: float = parameter("tokens", "mean answer", 128.0)
    output_cv: float = parameter("", "coefficient of variation of answers, lognormal; 0 is constant", 0.0)
    max_tokens: int = parameter("tokens", "longest prompt and longest answer", 131_072)
    lengths_from: str = parameter("path", "a recording whose lengths are drawn instead of the five above", "")
    streaming_share: float = parameter("share", "requests that stream; the others have e2e_limit_seconds", 1.0)
    e2e_limit_seconds: float = parameter("s", "end-to-end latency promised to requests that do not stream", 60.0)
    seed: int = parameter("", "of all that is drawn", 1)

    @property
    def seconds(self) -> float:
        if not 0 < self.minutes <= MAX_MINUTES:
            raise BadInput(f"minutes: was {self.minutes:g}, must be in (0, {MAX_MINUTES:g}]")
        return 60.0 * self.minutes

    def lengths(self) -> Lengths:
        if self.lengths_from:
            return EmpiricalLengths(read_trace(Path(self.lengths_from)))
        return LognormalLengths(
            prompt=Lognormal(mean=self.prompt_tokens, cv=self.prompt_cv, max_tokens=self.max_tokens),
            output=Lognormal(mean=self.output_tokens, cv=self.output_cv, max_tokens=self.max_tokens),
        )

    def streaming(self, demand: Demand) -> Demand:
        return partly_streaming(demand, self.streaming_share, self.e2e_limit_seconds, self.seed)

    def drawn(self, name: str, curve: RateCurve, cv: float) -> Demand:
        if not (curve.rps > 0).any():
            raise BadInput("rate: was 0 all the time, must be above 0 at some time")
        return self.streaming(
            Drawn(
                name=name,
                duration_seconds=self.seconds,
                processes=Processes.of(curve, Gaps.of_cv(cv)),
                lengths=self.lengths(),
                seed=self.seed,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoissonSpec(_Generated):
    rate: float = parameter("requests/s", "mean rate")

    def build(self) -> Demand:
        return self.drawn("poisson", shapes.constant(self.rate, self.seconds), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GammaSpec(_Generated):
    rate: float = parameter("requests/s", "mean rate")
    cv: float = parameter("", "coefficient of variation of the gaps: 0 is even, 1 Poisson, more is bursty", 2.0)

    def build(self) -> Demand:
        return self.drawn("gamma", shapes.constant(self.rate, self.seconds), self.cv)


@dataclass(frozen=True, slots=True, kw_only=True)
class RampSpec(_Generated):
    rate: float = parameter("requests/s", "rate at the start")
    to_rate: float = parameter("requests/s", "rate at the end")
    cv: float = parameter("", "of the gaps", 1.0)

    def build(self) -> Demand:
        return self.drawn("ramp", shapes.ramp(self.rate, self.to_rate, self.seconds), self.cv)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec(_Generated):
    rate: float = parameter("requests/s", "rate before the step")
    to_rate: float = parameter("requests/s", "rate after the step")
    at_minutes: float = parameter("min", "when the rate steps", 10.0)
    cv: float = parameter("", "of the gaps", 1.0)

    def build(self) -> Demand:
        curve = shapes.flash_crowd(
            self.rate,
            self.to_rate,
            at_seconds=60.0 * self.at_minutes,
            rise_seconds=0.0,
            hold_seconds=self.seconds,
            decay_seconds=0.0,
            seconds=self.seconds,
        )
        return self.drawn("step", curve, self.cv)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashCrowdSpec(_Generated):
    rate: float = parameter("requests/s", "rate before and after")
    peak_rate: float = parameter("requests/s", "rate of the crowd")
    at_minutes: float = parameter("min", "when the rise begins", 10.0)
    rise_seconds: float = parameter("s", "from base to peak", 60.0)
    hold_seconds: float = parameter("s", "at the peak", 600.0)
    decay_seconds: float = parameter("s", "from peak to base", 600.0)
    cv: float = parameter("", "of the gaps", 1.0)

    def build(self) -> Demand:
        curve = shapes.flash_crowd(
            self.rate,
            self.peak_rate,
            at_seconds=60.0 * self.at_minutes,
            rise_seconds=self.rise_seconds,
            hold_seconds=self.hold_seconds,
            decay_seconds=self.decay_seconds,
            seconds=self.seconds,
        )
        return self.drawn("flash-crowd", curve, self.cv)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiurnalSpec(_Generated):
    minutes: float = parameter("min", "how long", 1_440.0)
    rate: float = parameter("requests/s", "mean rate of a working day")
    amplitude: float = parameter("share", "how far the peak is above the mean, and the trough below", 0.6)
    peak_hour: float = parameter("h", "of the day, UTC", 14.0)
    weekend_factor: float = parameter(
        "", "Saturday's and Sunday's rate over a working day's; it begins on a Monday", 1.0
    )
    cv: float = parameter("", "of the gaps", 1.0)

    def build(self) -> Demand:
        curve = shapes.diurnal(
            self.rate,
            amplitude=self.amplitude,
            peak_hour=self.peak_hour,
            weekend_factor=self.weekend_factor,
            seconds=self.seconds,
            first_weekday=0,
        )
        return self.drawn("diurnal", curve, self.cv)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsSpec(_Generated):
    rate: float = parameter("sessions/s", "conversations that begin, Poisson")
    turns: float = parameter("", "mean turns of a conversation, geometric", 5.0)
    think_seconds: float = parameter("s", "mean time from an answer to the next turn", 30.0)
    think_cv: float = parameter("", "of think times, lognormal; 0 is constant", 1.0)
    prompt_tokens: float = parameter("tokens", "mean new text of a turn", 128.0)
    system_prompt_tokens: int = parameter("tokens", "that begin every conversation, shared by all", 0)
    max_context_tokens: int = parameter("tokens", "a conversation ends before it would be longer", 32_768)

    def build(self) -> Demand:
        curve = shapes.constant(self.rate, self.seconds)
        if not self.rate > 0:
            raise BadInput(f"rate: was {self.rate:g}, must be above 0")
        return self.streaming(
            Sessions(
                name="sessions",
                duration_seconds=self.seconds,
                processes=Processes.of(curve, Gaps.of_cv(1.0)),
                lengths=self.lengths(),
                mean_turns=self.turns,
                think=ThinkTime(self.think_seconds, self.think_cv),
                system_prompt_tokens=self.system_prompt_tokens,
                max_context_tokens=self.max_context_tokens,
                tokens_per_turn=self.prompt_tokens + self.output_tokens,
                seed=self.seed,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UsersSpec(_Generated):
    users: int = parameter("users", "how many, each with one request at a time")
    spawn_rate: float = parameter("users/s", "that begin, until all are there", 1.0)
    think_seconds: float = parameter("s", "mean time from an answer to the next request", 5.0)
    think_cv: float = parameter("", "of think times, lognormal; 0 is constant", 0.0)
    requests_per_user: int = parameter("requests", "after which a user stops; 0 for none", 0)

    def build(self) -> Demand:
        return self.streaming(
            Users(
                name="users",
                duration_seconds=self.seconds,
                users=self.users,
                spawn_per_second=self.spawn_rate,
                think=ThinkTime(self.think_seconds, self.think_cv),
                lengths=self.lengths(),
                requests_per_user=self.requests_per_user or None,
                seed=self.seed,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSpec(_Generated):
    requests: int = parameter("requests", "of one job")
    first_minute: float = parameter("min", "when the first job comes", 0.0)
    every_minutes: float = parameter("min", "from one job to the next", 60.0)
    deadline_minutes: float = parameter("min", "from a job's start to the end of its last answer", 60.0)
    submit_seconds: float = parameter("s", "over which a job's requests are sent, evenly", 0.0)
    priority: int = parameter("", "smaller is served first; online requests have 0", LOW_PRIORITY)

    def build(self) -> Demand:
        if not 0.01 <= self.every_minutes <= MAX_MINUTES:
            raise BadInput(f"every_minutes: was {self.every_minutes:g}, must be in [0.01, {MAX_MINUTES:g}]")
        starts: list[float] = []
        while (start := 60.0 * (self.first_minute + len(starts) * self.every_minutes)) < self.seconds:
            starts.append(start)
        return batch_jobs(
            starts,
            requests=self.requests,
            deadline_seconds=60.0 * self.deadline_minutes,
            lengths=self.lengths(),
            submit_seconds=self.submit_seconds,
            priority=self.priority,
            seconds=max(self.seconds, starts[-1] + self.submit_seconds if starts else 0.0),
            seed=self.seed,
        )
