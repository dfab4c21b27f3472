"""Prefill and decode on servers of their own, with every time counted by hand."""

from typing import Any

import numpy as np
import pytest
from engine_runs import all_rows, engine_with, model_with, trace_of

from simulations.engine import Engine, Router
from simulations.request_rows import SERVED
from simulations.trace import Trace

PREFILL, DECODE = 0, 1

MODEL = model_with(base=1.0, per_prefill_token=0.01, transfer_seconds_per_token=0.005, max_num_seqs=2, overhead=0.25)


def split(trace: Trace, **options: Any) -> Engine:
    """One prefill server, one decode server."""
    return engine_with(trace, options.pop("model", MODEL), roles=["prefill", "decode"], **options)


def test_ttft_is_queue_prefill_transfer_and_one_decode_step() -> None:
    """Two prompts, of 100 and of 50 tokens.

    prefill server     0.5 - 2.5 the first (1 + 100 x 0.01), 2.5 - 4.0 the second, which came at 1.0 (1 + 50 x 0.01)
    on their way       2.5 - 3.0 (100 x 0.005), 4.0 - 4.25 (50 x 0.005)
    decode server      3.0 - 4.01 first token of the first (1 + 1 x 0.01: its last prompt token gives it)
                       4.01 - 5.01 its second; 5.01 - 6.02 its third, with the first of the second request
                       6.02 - 7.02 the second of the second request
    What a client sees comes 0.25 later: the API server's overhead.
    """
    engine = split(trace_of([0.5, 1.0], [100, 50], [3, 2]))
    rows = all_rows(engine)
    assert rows["first_token"] == pytest.approx([4.26, 6.27])
    assert rows["finish"] == pytest.approx([6.27, 7.27])
    assert (rows["first_token"] - rows["arrival"]).tolist() == pytest.approx([3.76, 5.27])
    assert rows["replica"].tolist() == [DECODE, DECODE]
    prefill, decode = engine.servers[:2]
    assert (prefill["iterations"], decode["iterations"]) == (2, 4)
    assert (prefill["generation_tokens"], decode["generation_tokens"]) == (0, 5)
    assert (prefill["busy_seconds"], decode["busy_seconds"]) == pytest.approx((3.5, 4.02))


def test_a_prompts_blocks_are_held_by_one_server_at_a_time_and_by_none_on_the_way() -> None:
    """100 tokens are 7 blocks, and the first output token fits the seventh."""
    engine = split(trace_of([0.0], 100, 3))
    held = []
    for second in (1.0, 2.2, 3.0, 4.6, 9.0):
        engine.advance(second)
        held.append((MODEL.kv_blocks - engine.servers["free_blocks"][:2]).tolist())
    assert held == [[7, 0], [0, 0], [0, 7], [0, 7], [0, 0]]
    assert engine.finished


def test_a_request_on_the_way_is_inside() -> None:
    engine = split(trace_of([0.0], 100, 3))
    engine.advance(2.2)
    assert (engine.inside, engine.outstanding.sum()) == (1, 0)
    assert engine.prefill_tokens_under_way() == 100
    assert not engine.finished


def test_a_request_that_is_given_up_on_the_way_is_over() -> None:
    engine = split(trace_of([0.0], 100, 3), client_timeout_seconds=2.1)
    engine.advance(2.2)
    assert engine.inside == 0
    rows = all_rows(engine)
    assert (rows["outcome"].tolist(), rows["generated"].tolist()) == ([4], [0])
    assert engine.servers["iterations"][DECODE] == 0


def test_an_answer_of_one_token_needs_no_decode_server() -> None:
    engine = split(trace_of([0.0], 100, 1))
    rows = all_rows(engine)
    assert (rows["finish"].tolist(), rows["replica"].tolist()) == ([2.25], [PREFILL])
    assert engine.servers["iterations"][DECODE] == 0


def test_a_request_preempted_while_decoding_is_recomputed_where_it_is() -> None:
    """Two answers outgrow the decode server's 4 blocks: the younger one computes prompt and answer there again."""
    small = model_with(base=1.0, kv_blocks=4, transfer_seconds_per_token=0.01)
    trace = trace_of([0.0, 0.0], [16, 16], [40, 20])
    engine = split(trace, model=small)
    rows = all_rows(engine)
    prefill, decode = engine.servers[:2]
    assert rows["outcome"].tolist() == [SERVED, SERVED]
    assert rows["preemptions"].tolist() == [0, 1]
    assert (prefill["iterations"], prefill["preemptions"], decode["preemptions"]) == (1, 0, 1)
    # Prefilled until 1.0, there at 1.16: 16 tokens in 1 block each. Iteration 2 writes their 17th tokens into a second
    # block, iteration 18 their 33rd into a third, when none is left: at 18.16 the second loses 16 + 17 tokens. The
    # first has its 40 at 41.16; then one iteration recomputes 33 tokens and gives the 18th, two more the rest.
    assert rows["first_token"].tolist() == pytest.approx([2.16, 2.16])
    assert rows["finish"].tolist() == pytest.approx([41.16, 44.16])
    assert decode["generation_tokens"] == 60
    assert engine.servers["free_blocks"][:2].tolist() == [4, 4]


def test_without_a_decode_server_what_was_prefilled_waits_at_the_gateway() -> None:
    engine = engine_with(trace_of([0.0], 100, 2), MODEL, roles=["prefill"])
    decode = engine.add_server(1, role="decode")
    engine.advance(10.0)
    assert (engine.gateway_queue, engine.outstanding.sum()) == (1, 0)
    engine.open(decode)
    rows = all_rows(engine)
    assert rows["first_token"].tolist() == pytest.approx([10.0 + 1.01 + 0.25])


def test_at_the_gateway_each_phase_waits_for_its_own_servers() -> None:
    """The first request is prefilled and waits for a decode server; the prompts behind it need not."""
    engine = engine_with(trace_of([0.0, 5.0, 20.0], 100, 2), MODEL, roles=["prefill"])
    engine.advance(4.0)
    engine.close(0)
    engine.advance(6.0)
    assert engine.gateway_queue == 2
    engine.open(engine.add_server(1, role="prefill"))
    engine.advance(30.0)
    assert engine.servers["prompt_tokens"][1] == 200
    engine.open(engine.add_server(2, role="decode"))
    assert (all_rows(engine)["outcome"] == SERVED).all()


@pytest.mark.parametrize("policy", ["round-robin", "least-outstanding", "scored"])
def test_prompts_go_to_prefill_servers_and_answers_come_from_decode_servers(policy: str) -> None:
    """Whatever the router; a hundred requests at random on two and three servers, and all tokens are accounted for."""
    rng = np.random.default_rng(8)
    trace = trace_of(np.sort(rng.uniform(0, 200, 100)), rng.integers(1, 200, 100), 1 + rng.geometric(0.1, 100))
    router = Router(policy=policy, queue_weight=1.0, kv_weight=1.0)
    engine = engine_with(trace, MODEL, roles=["prefill", "decode", "prefill", "decode", "decode"], router=router)
    rows = all_rows(engine)
    assert set(rows["replica"].tolist()) == {1, 3, 4}
    assert (rows["outcome"] == SERVED).all()
    servers = engine.servers[:5]
    prefill = np.array([True, False, True, False, False])
    assert servers["prompt_tokens"][prefill].sum() == trace.prompt_tokens.sum()
    assert servers["generation_tokens"][prefill].sum() == 0
    assert servers["generation_tokens"][~prefill].sum() == trace.output_tokens.sum()
    assert (servers["iterations"] > 0).all()
    assert (servers["free_blocks"] == MODEL.kv_blocks).all()
