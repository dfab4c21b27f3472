"""Demand from elsewhere as people set it: every parameter with its unit, its default and what it means."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from policies.entry import parameter
from policies.errors import BadInput
from simulations.demand import prometheus
from simulations.demand.lengths import Lognormal
from simulations.demand.servegen import read_servegen
from simulations.trace import Demand


@dataclass(frozen=True, slots=True, kw_only=True)
class ServegenSpec:
    tables: str = parameter("path", "what comes before -rates.csv.gz and -lengths.csv.gz")
    start_hours: float = parameter("h", "where in the tables to begin", 0.0)
    hours: float = parameter("h", "how long; 0 for all that there is", 0.0)
    rate_factor: float = parameter("", "multiplies all rates; bursts stay as bursty", 1.0)
    keep: float = parameter("share", "of the requests, a coin each", 1.0)
    max_clients: int = parameter("clients", "only those with most requests; 0 for all", 0)
    system_prompt_tokens: int = parameter("tokens", "that a client's requests share; 0 for none", 0)
    lora_adapters: int = parameter("adapters", "client n uses adapter n modulo this; 0 for the base model", 0)
    seed: int = parameter("", "of arrivals, lengths and phases", 1)

    def build(self) -> Demand:
        return read_servegen(
            Path(self.tables),
            seed=self.seed,
            start_seconds=3_600.0 * self.start_hours,
            seconds=3_600.0 * self.hours or None,
            rate_factor=self.rate_factor,
            keep=self.keep,
            max_clients=self.max_clients or None,
            system_prompt_tokens=self.system_prompt_tokens,
            lora_adapters=self.lora_adapters,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusSpec:
    url: str = parameter("URL", "of the server; or give file", "")
    file: str = parameter("path", "a saved answer of /api/v1/query_range, in requests/s; or give url", "")
    query: str = parameter("PromQL", "requests/s", prometheus.REQUESTS_QUERY)
    prompt_query: str = parameter(
        "PromQL", "prompt tokens/s; empty to use prompt_tokens", prometheus.PROMPT_TOKENS_QUERY
    )
    output_query: str = parameter(
        "PromQL", "output tokens/s; empty to use output_tokens", prometheus.OUTPUT_TOKENS_QUERY
    )
    prompt_file: str = parameter("path", "as file, in prompt tokens/s", "")
    output_file: str = parameter("path", "as file, in output tokens/s", "")
    end: str = parameter("UTC time", "where the range ends, as 2025-03-01T12:00:00; empty for now", "")
    hours: float = parameter("h", "length of the range", 24.0)
    step_seconds: float = parameter("s", "of the range query; as long as the range in the query's brackets", 300.0)
    prompt_tokens: float = parameter("tokens", "mean prompt where no tokens/s are known", 512.0)
    prompt_cv: float = parameter("", "of prompts, lognormal", 1.0)
    output_tokens: float = parameter("tokens", "mean answer where no tokens/s are known", 128.0)
    output_cv: float = parameter("", "of answers, lognormal", 1.0)
    cv: float = parameter("", "of the gaps between arrivals", 1.0)
    seed: int = parameter("", "of all that is drawn", 1)

    def build(self) -> Demand:
        if bool(self.url) == bool(self.file):
            raise BadInput("url and file: one of the two must be given; a server's address, or a saved answer")
        prompts, outputs = (
            self._tokens(self.prompt_file, self.prompt_query),
            self._tokens(self.output_file, self.output_query),
        )
        return prometheus.prometheus_demand(
            prometheus.read_range(Path(self.file)) if self.file else self._ask(self.query),
            prompt=Lognormal(mean=self.prompt_tokens, cv=self.prompt_cv),
            output=Lognormal(mean=self.output_tokens, cv=self.output_cv),
            prompt_tokens=prompts,
            output_tokens=outputs,
            cv=self.cv,
            name=Path(self.file).name if self.file else "prometheus",
            seed=self.seed,
        )

    def _tokens(self, file: str, query: str) -> prometheus.Series | None:
        if file:
            return prometheus.read_range(Path(file))
        return self._ask(query) if self.url and query else None

    def _ask(self, query: str) -> prometheus.Series:
        if not 0 < self.hours <= 24 * 400:
            raise BadInput(f"hours: was {self.hours:g}, must be in (0, 9600]")
        try:
            end = datetime.fromisoformat(self.end) if self.end else datetime.now(UTC)
        except ValueError:
            raise BadInput(f"end: was {self.end!r}, must be a time such as 2025-03-01T12:00:00") from None
        end_seconds = (
            (end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp() // self.step_seconds * self.step_seconds
        )
        return prometheus.query_range(
            self.url,
            query,
            start_seconds=end_seconds - 3_600.0 * self.hours,
            end_seconds=end_seconds,
            step_seconds=self.step_seconds,
        )
