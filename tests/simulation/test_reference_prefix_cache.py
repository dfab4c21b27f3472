"""The reference server's blocks and prefix cache against cases worked out by hand. Iterations last 1 s."""

from typing import Any

import pytest
from reference.blocks import BlockPool
from reference.server import ReferenceModel, ReferenceRequest, ReferenceResult, Totals, serve


def request(arrival: float, prompt: int, output: int, *ids: int, **changes: Any) -> ReferenceRequest:
    return ReferenceRequest(arrival, prompt, output, prefix_ids=ids, **changes)


def run(requests: list[ReferenceRequest], **changes: Any) -> tuple[list[ReferenceResult], Totals]:
    room: dict[str, Any] = {"kv_blocks": 1_000, "max_num_seqs": 8, "max_num_batched_tokens": 1_000}
    return serve(
        ReferenceModel(1.0, 0.0, 0.0, 0.0, 0.0, **({"enable_prefix_caching": True} | room | changes)), requests
    )


@pytest.mark.parametrize(
    ("changes", "requests", "cached"),
    [
        pytest.param(
            {}, [request(0, 40, 1, 7, 8), request(5, 40, 1, 7, 8)], [0, 32], id="full-blocks-of-the-shared-prefix"
        ),
        pytest.param({}, [request(0, 40, 1, 7, 8), request(0, 40, 1, 7, 8)], [0, 32], id="within-the-same-step"),
        pytest.param({}, [request(0, 40, 1, 7, 8), request(5, 40, 1, 6, 8)], [0, 0], id="what-comes-before-counts"),
        pytest.param(
            {},
            [request(0, 40, 1, 7, 8), request(0, 40, 1, 6, 9), request(5, 40, 1, 7, 9)],
            [0, 0, 16],
            id="the-same-id-after-another-is-another-block",
        ),
        pytest.param({}, [request(0, 32, 1, 7, 8), request(5, 32, 1, 7, 8)], [0, 16], id="the-last-token-is-computed"),
        pytest.param({}, [request(0, 40, 1, 7, 8), request(5, 33, 1, 7, 8)], [0, 32], id="and-one-more-token-suffices"),
        pytest.param(
            {}, [request(0, 31, 1, 7, 8), request(5, 40, 1, 7, 8)], [0, 16], id="a-block-not-full-is-not-found"
        ),
        pytest.param({}, [request(0, 40, 1), request(5, 40, 1)], [0, 0], id="nothing-in-common"),
        pytest.param(
            {"enable_prefix_caching": False}, [request(0, 40, 1, 7, 8), request(5, 40, 1, 7, 8)], [0, 0], id="off"
        ),
        # One id for 32 tokens: two blocks of 16, told apart by their place in it.
        pytest.param(
            {},
            [request(0, 60, 1, 7, prefix_block_tokens=32), request(5, 60, 1, 7, 9, prefix_block_tokens=32)],
            [0, 32],
            id="ids-of-several-blocks",
        ),
        pytest.param(
            {},
            [request(0, 17, 1, 7, prefix_block_tokens=32), request(5, 60, 1, 7, prefix_block_tokens=32)],
            [0, 16],
            id="part-of-an-id",
        ),
        # 16 + 17 tokens, of which the last is never computed: 32 are, and the block of generated ones is full.
        pytest.param(
            {}, [request(0, 16, 17, 7, 8), request(30, 40, 1, 7, 8)], [0, 32], id="generated-tokens-are-found"
        ),
        pytest.param({}, [request(0, 16, 16, 7, 8), request(30, 40, 1, 7, 8)], [0, 16], id="the-last-one-is-not-there"),
        pytest.param(
            {"max_loras": 1},
            [request(0, 40, 1, 7, 8, lora=lora) for lora in (-1, 0, 1, 0)],
            [0, 0, 0, 32],
            id="each-adapter-has-its-own",
        ),
        pytest.param(
            {"max_loras": 0},
            [request(0, 40, 1, 7, 8, lora=lora) for lora in (-1, 0, 1, 0)],
            [0, 32, 32, 32],
            id="without-lora-all-are-the-base-model",
        ),
        # Blocks are published when they are scheduled: at 1 the second finds the third block, computed in that step.
        pytest.param(
            {"max_num_batched_tokens": 32},
            [request(0, 60, 1, 7, 8, 9), request(0.5, 64, 1, 7, 8, 9)],
            [0, 48],
            id="chunk-by-chunk",
        ),
        # 4 blocks. The first leaves [3rd, 2nd, 1st] behind the block never used. The second takes that one and the
        # third's: the tail of a prefix goes before its head.
        pytest.param(
            {"kv_blocks": 4},
            [request(0, 48, 1, 7, 8, 9), request(5, 32, 1), request(10, 49, 1, 7, 8, 9)],
            [0, 0, 32],
            id="the-tail-is-evicted-first",
        ),
        # 4 blocks, prefixes of two. The first one's blocks are used again at 6, so the second's make room at 8.
        pytest.param(
            {"kv_blocks": 4},
            [
                request(0, 33, 1, 1, 1),
                request(3, 17, 1, 2),
                request(6, 33, 1, 1, 1),
                request(8, 17, 1),
                request(9, 33, 1, 1, 1),
            ],
            [0, 0, 32, 0, 32],
            id="a-hit-makes-recent",
        ),
    ],
)
def test_cached_tokens(changes, requests, cached):
    """How much of each prompt is found at its admission; the rest is computed."""
    results, totals = run(requests, **changes)
    assert [result.cached_tokens for result in results] == cached
    assert totals.prefill_tokens == sum(each.prompt_tokens for each in requests) - sum(cached)
    assert totals.prompt_tokens == sum(each.prompt_tokens for each in requests)


def test_found_blocks_that_are_free_count_as_needed():
    """A prefix in the free queue is no room: it must not be evicted for the rest of the same prompt.

    4 blocks: the first leaves two behind, another holds one. 33 tokens with two found need three of the three free, 49
    need four: they wait until the other has left at 12, though their prefix is found.
    """
    other = request(2, 1, 10)
    fits, _ = run([request(0, 32, 1, 7, 8), other, request(3, 33, 1, 7, 8)], kv_blocks=4)
    waits, _ = run([request(0, 32, 1, 7, 8), other, request(3, 49, 1, 7, 8)], kv_blocks=4)
    assert (fits[2].finish, fits[2].cached_tokens) == (4, 32)
    assert (waits[2].finish, waits[2].cached_tokens) == (13, 32)


@pytest.mark.parametrize(
    ("older_output", "caching", "computed_again"),
    [
        # As in test_reference_timelines.py: the younger request (16 + 20 tokens) is preempted at 2 with 17 computed
        # tokens: a full block and one token. The older one takes its tail block, and the full one if it needs a fourth.
        pytest.param(10, True, 2, id="its-own-block-is-still-there"),
        pytest.param(20, True, 18, id="the-older-one-took-it"),
        pytest.param(10, False, 18, id="without-caching"),
    ],
)
def test_a_preempted_request_finds_its_own_blocks(older_output, caching, computed_again):
    """Generated tokens included, when nobody took them; `cached_tokens` tells of the first admission only."""
    requests = [request(0, 31, older_output), request(0, 16, 20)]
    results, totals = run(requests, kv_blocks=4, enable_prefix_caching=caching)
    assert [result.preemptions for result in results] == [0, 1]
    assert totals.prefill_tokens == 31 + 16 + computed_again
    assert totals.found_tokens == 18 - computed_again
    assert results[1].cached_tokens == 0
    assert results[1].finish == older_output + 18  # 18 tokens were still to come when the older one left


def test_free_queue_order():
    """Blocks are taken from the head, join at the end in the order given, and leave the middle when touched."""
    pool = BlockPool(4)
    first, second, third = pool.take(3)
    assert [block.number for block in pool.free] == [3]
    pool.release([third, second, first])
    assert [block.number for block in pool.free] == [3, 2, 1, 0]
    pool.touch([second])
    assert [block.number for block in pool.free] == [3, 2, 0]
    pool.touch([second])
    pool.release([second])
    assert len(pool.free) == 3, "it has a reference left"
    pool.release([second])
    assert [block.number for block in pool.take(4)] == [3, 2, 0, 1]


def test_duplicates_are_kept_and_the_first_published_is_found():
    """Two blocks with the same tokens live side by side; when the first is evicted the other is found."""
    pool = BlockPool(3)
    first, second, _ = pool.take(3)
    pool.publish(first, "tokens")
    pool.publish(second, "tokens")
    assert pool.find("tokens") is first
    pool.release([first])
    assert pool.find("tokens") is first, "free, and still there"
    assert pool.take(1) == [first]
    assert pool.find("tokens") is second
    pool.release([second])
    pool.take(1)
    assert pool.find("tokens") is None
