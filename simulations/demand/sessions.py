"""Multi-turn conversations: each turn repeats all before it, and is sent a while after the answer to the one before."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from policies.capacity.kv_cache import BLOCK_TOKENS
from policies.errors import BadInput
from simulations.demand.drawn import START_NS, Lengths, arrivals
from simulations.demand.history import history_prefixes
from simulations.demand.lengths import generators
from simulations.demand.processes import Processes
from simulations.demand.think_time import ThinkTime
from simulations.trace import Trace, Turns

_PIECE_BLOCKS = 2_000_000
"""Block ids of a piece, about: 16 MB."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Sessions:
    """processes: when sessions begin. lengths: of what a turn adds, its new text and its answer.

    mean_turns: of a geometric law, 1 or more. think: from an answer to the next turn. system_prompt_tokens: that begin
    every session's first prompt, the same for all. max_context_tokens: a session ends before the turn whose prompt and
    answer would be longer.
    """

    name: str
    duration_seconds: float
    processes: Processes
    lengths: Lengths
    mean_turns: float
    think: ThinkTime
    system_prompt_tokens: int = 0
    max_context_tokens: int = 131_072
    tokens_per_turn: float = 1024.0  # about; for the size of pieces
    seed: int = 1
    start_ns: int = START_NS
    piece_sessions: int | None = None

    def __post_init__(self) -> None:
        for field, value, low, high in (
            ("turns", self.mean_turns, 1, 1_000),
            ("max_context_tokens", self.max_context_tokens, BLOCK_TOKENS, 10_000_000),
            ("system_prompt_tokens", self.system_prompt_tokens, 0, self.max_context_tokens - 1),
        ):
            if not low <= value <= high:
                raise BadInput(f"{field}: was {value:g}, must be in [{low}, {high}]")

    @property
    def expected_requests(self) -> float:
        """If no session grows beyond its context."""
        return self.processes.expected() * self.mean_turns

    def with_rate_factor(self, factor: float) -> "Sessions":
        """The same with more or fewer sessions."""
        return replace(self, processes=self.processes.with_rate_factor(factor))

    def pieces(self) -> Iterator[Trace]:
        turns_rng, think_rng = generators(self.seed, 2)
        sampler = self.lengths.sampler(self.seed, self.processes.client_ids)
        # Of a geometric number of turns T, T (T + 1) / 2 has the mean mean_turns^2: a turn holds all before it.
        blocks = self.mean_turns**2 * (self.tokens_per_turn + self.system_prompt_tokens) / BLOCK_TOKENS
        size = self.piece_sessions or int(np.clip(_PIECE_BLOCKS / blocks, 16, 8_192))
        known = 0
        for starts, clients in arrivals(
            self.processes, seed=self.seed, seconds=self.duration_seconds, piece_requests=size
        ):
            turns = turns_rng.geometric(1.0 / self.mean_turns, len(starts))
            session = np.repeat(np.arange(len(starts)), turns)
            new, answers = sampler.draw(starts[session], clients[session])
            thinks = self.think.draw(think_rng, len(session))
            piece = self._piece(starts, session, new.astype(np.int64), answers.astype(np.int64), thinks, known)
            known += len(starts)
            if len(piece):
                yield piece

    def _piece(
        self,
        starts: np.ndarray[tuple[int], np.dtype[np.float64]],
        session: np.ndarray[tuple[int], np.dtype[np.int64]],
        new: np.ndarray[tuple[int], np.dtype[np.int64]],
        answers: np.ndarray[tuple[int], np.dtype[np.int64]],
        thinks: np.ndarray[tuple[int], np.dtype[np.float64]],
        known: int,
    ) -> Trace:
        """The turns of some sessions. session: of each turn, ascending. known: sessions before these."""
        through = np.cumsum(new + answers)
        first_turn = np.flatnonzero(np.diff(session, prepend=-1))
        before = (through - new - answers)[first_turn]
        history = self.system_prompt_tokens + through - before[session]  # with this turn's text and answer
        kept = history <= self.max_context_tokens
        session, history, answers, thinks = session[kept], history[kept], answers[kept], thinks[kept]
        follows = np.append(session[1:] == session[:-1], False) if len(session) else np.zeros(0, bool)
        return Trace(
            self.name,
            self.start_ns,
            starts[session],
            (history - answers).astype(np.int32),
            answers.astype(np.int32),
            prefixes=history_prefixes(
                session + known,
                history,
                blocks_per_session=self.max_context_tokens // BLOCK_TOKENS + 1,
                shared_blocks=self.system_prompt_tokens // BLOCK_TOKENS,
            ),
            turns=Turns(
                next_request=np.where(follows, np.arange(1, len(session) + 1), -1).astype(np.int32),
                think_seconds=np.where(follows, thinks, 0.0),
            ),
            ends_seconds=self.duration_seconds,
        )
