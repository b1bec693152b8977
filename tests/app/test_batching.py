"""Test that the requests of several clients share one call of the model."""

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cir.app.batching import Batcher, Worker
from cir.core.errors import UserError


class Step:
    """Doubles numbers, records its calls, and waits while `open` is cleared."""

    def __init__(self):
        self.calls = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()

    def __call__(self, items):
        self.entered.set()
        assert self.open.wait(10)
        self.calls.append(list(items))
        if any(item < 0 for item in items):
            raise ValueError(f"negative: {[item for item in items if item < 0]}")
        return [2 * item for item in items]


@pytest.fixture
def step():
    return Step()


def batcher_of(step, worker=None, **options):
    batcher = Batcher(step, worker or Worker("test"), **options)
    batcher.close = batcher._worker.close
    return batcher


async def behind_a_held_call(step, batcher, items):
    """Start tasks of `items` that all wait while the first call is blocked."""
    step.open.clear()
    first = asyncio.ensure_future(batcher.ask(1000))
    while not step.entered.is_set():
        await asyncio.sleep(0.001)
    tasks = [asyncio.ensure_future(batcher.ask(item)) for item in items]
    await asyncio.sleep(0.01)
    return first, tasks


def test_what_waits_goes_together_up_to_a_batch(step):
    batcher = batcher_of(step, most=4)

    async def ask():
        first, tasks = await behind_a_held_call(step, batcher, range(9))
        step.open.set()
        assert await first == 2000
        return await asyncio.gather(*tasks)

    assert asyncio.run(ask()) == [2 * n for n in range(9)]
    assert step.calls == [[1000], [0, 1, 2, 3], [4, 5, 6, 7], [8]]
    batcher.close()


def test_one_alone_waits_for_nobody(step):
    batcher = batcher_of(step)

    async def ask():
        for n in range(200):
            assert await batcher.ask(n) == 2 * n

    asyncio.run(ask())
    assert step.calls == [[n] for n in range(200)]
    batcher.close()


def test_an_error_reaches_those_only_whose_it_is(step):
    batcher = batcher_of(step)

    async def ask():
        first, tasks = await behind_a_held_call(step, batcher, [1, -2, 3, -4])
        step.open.set()
        await first
        return await asyncio.gather(*tasks, return_exceptions=True)

    one, two, three, four = asyncio.run(ask())
    assert (one, three) == (2, 6)
    assert str(two) == "negative: [-2]"
    assert str(four) == "negative: [-4]"
    assert step.calls == [[1000], [1, -2, 3, -4], [1], [-2], [3], [-4]]
    assert asyncio.run(batcher.ask(5)) == 10  # the worker still runs
    batcher.close()


def test_what_is_cancelled_in_time_is_never_computed(step):
    batcher = batcher_of(step)

    async def ask():
        first, tasks = await behind_a_held_call(step, batcher, [1, 2, 3])
        tasks[1].cancel()
        await asyncio.sleep(0.01)
        step.open.set()
        results = await asyncio.gather(first, *tasks, return_exceptions=True)
        assert isinstance(results[2], asyncio.CancelledError)
        return [results[0], results[1], results[3]]

    assert asyncio.run(ask()) == [2000, 2, 6]
    assert step.calls == [[1000], [1, 3]]
    batcher.close()


def test_cancelled_while_it_is_computed_it_harms_nobody(step):
    batcher = batcher_of(step)

    async def ask():
        first, _ = await behind_a_held_call(step, batcher, [])
        first.cancel()
        step.open.set()
        return await batcher.ask(4)

    assert asyncio.run(ask()) == 8
    batcher.close()


def test_a_loop_that_is_gone_harms_nobody(step):
    batcher = batcher_of(step)

    async def leave():
        await behind_a_held_call(step, batcher, [])

    asyncio.run(leave())  # the loop is closed while the call is blocked
    step.open.set()
    assert asyncio.run(batcher.ask(4)) == 8
    batcher.close()


def test_too_few_results_are_a_fault_and_no_mix_up():
    batcher = batcher_of(lambda items: items[1:])
    with pytest.raises(AssertionError, match="0 results of 1 items"):
        asyncio.run(batcher.ask(1))
    batcher.close()


def test_calls_are_observed(step):
    seen = []
    batcher = batcher_of(step, observe=seen.append)

    async def ask():
        first, tasks = await behind_a_held_call(step, batcher, [1, 2])
        step.open.set()
        await asyncio.gather(first, *tasks)

    asyncio.run(ask())
    assert seen == [1, 2]
    batcher.close()


def test_closing_finishes_what_waits_and_refuses_what_comes(step):
    batcher = batcher_of(step)

    async def ask():
        first, tasks = await behind_a_held_call(step, batcher, [1, 2])
        closing = asyncio.get_running_loop().run_in_executor(None, batcher.close)
        await asyncio.sleep(0.02)
        step.open.set()
        await closing
        assert await asyncio.gather(first, *tasks) == [2000, 2, 4]
        with pytest.raises(UserError, match="shutting down"):
            await batcher.ask(3)

    asyncio.run(ask())
    batcher.close()
    assert not [t for t in threading.enumerate() if t.name == "batch-test" and t.is_alive()]


@settings(max_examples=25, deadline=None)
@given(
    items=st.lists(st.integers(-3, 50), min_size=1, max_size=40),
    most=st.integers(1, 8),
)
def test_everybody_gets_his_own_answer(items, most):
    step = Step()
    batcher = batcher_of(step, most=most)

    async def ask():
        tasks = [batcher.ask(item) for item in items]
        return await asyncio.gather(*tasks, return_exceptions=True)

    for item, result in zip(items, asyncio.run(ask()), strict=True):
        if item < 0:
            assert str(result) == f"negative: [{item}]"
        else:
            assert result == 2 * item
    assert all(len(call) <= most for call in step.calls)
    batcher.close()
