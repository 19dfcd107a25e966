"""Intervals, the spread that is pooled, whether a study has settled, and what its runs share."""

import threading
import time

import pytest
import torch

from ippy.seeds import seeded
from ippy.studies import settled, statistics
from ippy.studies.shared import once

# two-sided, from a printed table
TABLE = [
    (1, 0.95, 12.706), (2, 0.95, 4.303), (3, 0.95, 3.182), (5, 0.95, 2.571), (10, 0.95, 2.228),
    (31, 0.95, 2.040), (120, 0.95, 1.980), (1000, 0.95, 1.962), (2, 0.99, 9.925), (4, 0.9, 2.132),
    (30, 0.999, 3.646), (1, 0.5, 1.0),
]  # fmt: skip


@pytest.mark.parametrize(("df", "level", "t"), TABLE)
def test_student_t_is_that_of_the_tables(df, level, t):
    assert statistics.student_t(df, level) == pytest.approx(t, abs=6e-4)


@pytest.mark.parametrize(("df", "level"), [(0, 0.95), (3, 1.0), (3, 0)])
def test_a_quantile_that_does_not_exist_is_refused(df, level):
    with pytest.raises(ValueError, match=f"df is {df} and level {level}; expected at least 1"):
        statistics.student_t(df, level)


def test_an_interval_holds_the_mean_as_often_as_it_says():
    x = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)).double()
    found = [statistics.interval(row) for row in x]
    inside = sum(abs(mean) < half for mean, half in found) / len(found)
    assert inside == pytest.approx(0.95, abs=0.015)


def test_pairs_cancel_what_they_share():
    a, b = [20.0, 30.0, 41.0], [19.0, 29.0, 39.0]
    mean, half = statistics.paired_interval(a, b)
    assert mean == pytest.approx(4 / 3)
    assert half == pytest.approx(4.3027 * (1 / 3) ** 0.5 / 3**0.5, rel=1e-4)
    assert half < statistics.interval(a)[1] / 10
    with pytest.raises(ValueError, match="3 values cannot be paired with 2"):
        statistics.paired_interval(a, b[:2])


def test_spread_is_pooled_around_each_groups_own_mean():
    groups = {"a": [0.0, 2.0], "b": [100.0, 102.0, 104.0], "c": [7.0]}
    std, df = statistics.pooled_std(list(groups.values()))
    assert df == 3 and std == pytest.approx((10 / 3) ** 0.5)
    found = statistics.pooled_interval(groups)
    assert found["b"] == pytest.approx((102, 3.1824 * std / 3**0.5), rel=1e-4)
    assert found["c"][1] == pytest.approx(3.1824 * std, rel=1e-4)
    with pytest.raises(ValueError, match="no spread to pool"):
        statistics.pooled_std([[1.0], [2.0]])


def test_a_verdict_needs_a_difference_beyond_its_interval():
    assert statistics.verdict((0.4, 0.31)) == "0.4 ± 0.3 dB ahead"
    assert statistics.verdict((-1.25, 0.5), digits=2) == "1.25 ± 0.50 dB behind"
    assert statistics.verdict((0.3, 0.3)) == "not to be told apart (+0.3 ± 0.3 dB)"
    assert statistics.verdict((-0.02, 0.1), 2, "s") == "not to be told apart (−0.02 ± 0.10 s)"


# --- settled ---


def run(psnr: list[float], seed: int = 0) -> dict:
    """A run with these values after each twelfth of 1200 steps."""
    return {
        "seed": seed,
        "val_step": [100 * (i + 1) for i in range(len(psnr))],
        "val_mse": [10 ** (-v / 10) for v in psnr],
    }


def curve(seed: int, last: float, slope: float) -> dict:
    """Rises to ``last``, by ``slope`` dB in each twelfth."""
    return run([last - slope * (11 - i) for i in range(12)], seed)


def test_a_difference_that_stands_still_has_settled_although_errors_fall():
    groups = {
        "a": [curve(0, 30, 1), curve(1, 31, 1)],
        "b": [curve(1, 33.5, 1), curve(0, 32, 1), curve(2, 99, 1)],
    }
    (found,) = settled.settled(groups, "a")
    assert found["group"] == "b" and found["reference"] == "a" and found["seeds"] == 2
    assert found["difference"] == pytest.approx([2.25] * 3) and found["moved"] == 0
    assert found["spread"] == pytest.approx(0.354, abs=1e-3) and found["settled"]
    assert found["interval"] == pytest.approx(12.706 * 0.3536 / 2**0.5, rel=2e-3)


def test_a_difference_that_still_grows_has_not():
    groups = {
        "a": [curve(0, 30, 1), curve(1, 31, 1)],
        "b": [curve(0, 32, 1.2), curve(1, 33.5, 1.2)],
    }
    (found,) = settled.settled(groups, "a")
    assert found["difference"] == pytest.approx([1.45, 1.85, 2.25])
    assert found["moved"] == pytest.approx(0.8) and not found["settled"]


def test_a_group_that_diverged_is_left_out():
    groups = {
        "a": [curve(seed, 30, 1) for seed in range(3)],
        "b": [run([], seed) for seed in range(3)],
        "c": [curve(0, 31, 1), run([], 1), run([], 2)],
    }
    assert settled.settled(groups, "a") == []


@pytest.mark.parametrize("steps", [5000, 4000, 6000, 12, 7])
def test_there_are_validations_where_groups_are_compared(steps):
    every = settled.validations(steps)
    points = [s for s in range(1, steps + 1) if s % every == 0 or s == steps]
    for part in settled.FRACTIONS:
        assert min(abs(point - part * steps) for point in points) <= max(1, steps / 100)


# --- shared by threads ---


def in_threads(work, n=8):
    """Results of ``work(i)`` in threads that start together."""
    found, barrier = {}, threading.Barrier(n)

    def target(i):
        barrier.wait()
        found[i] = work(i)

    threads = [threading.Thread(target=target, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[i] for i in range(n)]


def test_threads_wait_for_what_one_of_them_makes():
    made = []

    @once
    def slow(name):
        """What it does."""
        time.sleep(0.05)
        made.append(name)
        return object()

    found = in_threads(lambda i: slow("ab"[i % 2]))
    assert sorted(made) == ["a", "b"] and len(set(map(id, found))) == 2
    assert slow.__doc__ == "What it does." and slow("a") is found[0]
    slow.cache_clear()
    assert slow("a") is not found[0]


def test_a_failure_is_not_kept():
    calls = []

    @once
    def fails():
        calls.append(1)
        raise OSError("disk")

    for _ in range(2):
        with pytest.raises(OSError, match="disk"):
            fails()
    assert len(calls) == 2


def test_threads_do_not_draw_from_each_others_seeds():
    def draw(i):
        with seeded(i):
            first = torch.rand(1)
            time.sleep(0.01)
            return torch.cat([first, torch.rand(1)])

    before = torch.random.get_rng_state()
    found = in_threads(draw)
    assert torch.equal(torch.random.get_rng_state(), before)
    for i, numbers in enumerate(found):
        assert torch.equal(numbers, torch.rand(2, generator=torch.Generator().manual_seed(i)))
