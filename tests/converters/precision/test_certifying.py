"""Bounds on a mean loss: they agree with scipy, hold as often as they say, and say how many rows they would need."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edge_runtime.converters.precision.certifying import FEWEST_UNBOUNDED, judge, lower_bound, rows_needed, upper_bound
from edge_runtime.converters.precision.losses import Loss
from edge_runtime.converters.precision.paired import chance, score, upper_difference

RNG = np.random.default_rng


def lost(count: int, rows: int) -> Loss:
    return Loss("top-1", (np.arange(rows) < count).astype(np.float64), whole=True)


def paired(lost: int, gained: int, rows: int) -> Loss:
    values = np.r_[np.ones(lost), -np.ones(gained), np.zeros(rows - lost - gained)]
    return Loss("accuracy", values, low=-1.0, whole=True)


@pytest.mark.parametrize(("count", "rows"), [(0, 59), (1, 300), (17, 500), (500, 500)])
def test_shares_have_scipys_exact_interval(count: int, rows: int) -> None:
    """Clopper and Pearson's, as binomtest gives it, at both ends."""
    exact = [
        stats.binomtest(count, rows, alternative=side).proportion_ci(0.95, method="exact")
        for side in ("less", "greater")
    ]
    assert upper_bound(lost(count, rows), 0.05) == pytest.approx(exact[0].high, abs=1e-12)
    assert lower_bound(lost(count, rows), 0.05) == pytest.approx(exact[1].low, abs=1e-12)


@pytest.mark.parametrize(("rows", "p", "q"), [(100, 0.03, 0.01), (150, 0.02, 0.05), (200, 0.02, 0.0)])
def test_paired_differences_are_missed_no_more_often_than_they_say(rows: int, p: float, q: float) -> None:
    """Summed over all tables, so exactly; and not by being useless: more than a fifth of the rate is used."""
    reach = [int(rows * each + 8 * np.sqrt(rows * each)) + 3 for each in (p, q)]
    missed = 0.0
    for b in range(reach[0]):
        for c in range(min(reach[1], rows - b + 1)):
            weight = stats.multinomial.pmf([b, c, rows - b - c], rows, [p, q, 1 - p - q])
            if weight > 1e-8:
                missed += weight * (chance(b, c, rows, p - q, 0.05) <= 0.05)
    assert 0.01 < missed <= 0.05


def test_a_paired_bound_without_gains_is_nearly_clopper_and_pearsons() -> None:
    """Knowing that rows can be gained as well costs little."""
    for count in (1, 4, 40):
        alone = stats.beta.ppf(0.99, count + 1, 2000 - count)
        assert alone <= upper_difference(count, 0, 2000, 0.01) < 1.06 * alone


def test_a_paired_bound_is_close_to_the_normal_one_where_many_rows_differ() -> None:
    """300 lost and 250 gained of 2,000: within 1% of Wald's."""
    values = paired(300, 250, 2000).values
    normal = values.mean() + stats.norm.ppf(0.99) * values.std() / np.sqrt(2000)
    assert upper_difference(300, 250, 2000, 0.01) == pytest.approx(normal, rel=0.01)


@pytest.mark.parametrize("mean", [-0.02, 0.0, 0.01, 0.1])
def test_more_losses_never_speak_for_a_candidate(mean: float) -> None:
    """The score by which tables are ordered rises with the rows lost, whatever was gained."""
    scores = score(np.arange(200)[:, None], np.arange(200)[None], 500, mean)
    assert (np.diff(scores, axis=0) > 0).all()


BOUNDED = {
    "uniform": stats.uniform(),
    "skewed": stats.beta(0.2, 5),
    "few broken": stats.binom(1, 0.01),
    "nearly constant": stats.beta(50, 5000),
}


@pytest.mark.parametrize("rows", [20, 200])
@pytest.mark.parametrize("name", BOUNDED)
def test_bounded_losses_are_missed_no_more_often_than_they_say(name: str, rows: int) -> None:
    """Of 300 simulated splits, the truth lies above the bound in 5% at most, but for what chance allows."""
    drawn = BOUNDED[name].rvs(size=(300, rows), random_state=RNG(3)).astype(np.float64)
    missed = sum(upper_bound(Loss("", values), 0.05) < BOUNDED[name].mean() for values in drawn)
    assert missed <= stats.binom.ppf(0.999, 300, 0.05)


def test_a_bet_on_no_loss_costs_ln_2() -> None:
    """The bound of rows without a loss is that of Clopper and Pearson at half the rate, or better."""
    bound = upper_bound(Loss("1 - cosine", np.zeros(1000)), 0.05)
    assert stats.beta.ppf(0.95, 1, 1000) < bound <= stats.beta.ppf(0.975, 1, 1000) + 1e-6


def test_a_bound_grows_with_every_loss_and_keeps_to_its_range() -> None:
    """Also where everything is lost, and in any order of the rows."""
    values = RNG(0).random(200)
    bound = upper_bound(Loss("", values), 0.05)
    assert upper_bound(Loss("", values[::-1]), 0.05) == pytest.approx(bound, abs=1e-6)
    assert upper_bound(Loss("", np.minimum(values + 0.1, 1.0)), 0.05) > bound
    assert upper_bound(Loss("", np.ones(200)), 0.05) == 1.0
    assert lower_bound(Loss("", values), 0.05) < values.mean() < bound


def test_losses_without_a_range_need_a_hundred_values_and_are_never_less_than_the_floor() -> None:
    """No bound below that number; and rows that lose nothing do not show that none ever will."""
    few, enough = (Loss("", np.zeros(n), low=-np.inf, bounded=False) for n in (FEWEST_UNBOUNDED - 1, FEWEST_UNBOUNDED))
    assert upper_bound(few, 0.05) == np.inf
    assert upper_bound(enough, 0.05) > 0.03
    judgement = judge((few,), 0.01)
    assert not judgement.accepted
    assert judgement.needed is not None
    assert judgement.needed > FEWEST_UNBOUNDED


@pytest.mark.parametrize(("max_drop", "tried"), [(0.005, 1), (0.005, 10), (0.02, 3)])
def test_the_rows_needed_are_just_enough(max_drop: float, tried: int) -> None:
    """With as many rows and no loss a candidate passes, with one less it does not; about ln(tried / 5%) / max_drop."""
    for exact in (True, False):
        needed = rows_needed(max_drop, tried=tried, exact=exact)
        losses = [(Loss("", np.zeros(rows), whole=exact),) for rows in (needed, needed - 1)]
        assert [judge(each, max_drop, tried=tried).accepted for each in losses] == [True, False]
    assert rows_needed(max_drop, tried=tried) == pytest.approx(np.log(tried / 0.05) / max_drop, rel=0.02)


@pytest.mark.parametrize(
    "loss",
    [lost(1, 450), paired(9, 6, 450), Loss("", np.where(np.arange(450) < 2, 0.3, 1e-3)), Loss("", RNG(0).normal(0, 0.03, 450), low=-np.inf, bounded=False)],
    ids=["share", "paired", "cosine", "errors"],
)  # fmt: skip
def test_a_refusal_says_how_many_rows_like_these_would_do(loss: Loss) -> None:
    """And that many, at the same rate, do; half of them do not."""
    judgement = judge((loss,), 0.01, tried=4)
    assert not judgement.accepted
    assert judgement.needed is not None
    assert f"needs {judgement.needed:,} rows for a certified 1%, 450 are there" in judgement.reason
    times = judgement.needed / 450

    def again(factor: float) -> Loss:
        values = np.repeat(loss.values, max(1, round(20 * factor * times)))  # of 20 values each, one is kept
        kept = np.sort(values)[10::20] if loss.bounded else np.tile(loss.values, int(np.ceil(factor * times)))
        return Loss(loss.what, kept, loss.low, loss.high, loss.whole, loss.bounded)

    assert judge((again(1.1),), 0.01, tried=4).accepted
    assert not judge((again(0.5),), 0.01, tried=4).accepted


def test_a_rate_above_what_is_allowed_needs_no_more_rows() -> None:
    """The refusal says what was seen instead."""
    judgement = judge((lost(30, 400),), 0.005)
    assert (judgement.accepted, judgement.needed) == (False, None)
    assert judgement.reason == "top-1: 7.5% seen on 400 rows; 0.5% is allowed"


def test_nothing_is_certified_to_lose_nothing() -> None:
    """max_drop 0 refuses every candidate, and says why."""
    judgement = judge((lost(0, 10_000),), 0.0)
    assert not judgement.accepted
    assert "no number of rows shows that nothing is lost" in judgement.reason


def test_the_worst_output_decides() -> None:
    """By its bound, whichever comes first."""
    good, bad = lost(0, 2000), Loss("state", np.full(2000, 0.2))
    for losses in ((good, bad), (bad, good)):
        judgement = judge(losses, 0.005)
        assert not judgement.accepted
        assert judgement.what == "state"
    assert judge((good, good), 0.005).accepted


def test_more_candidates_make_each_bound_wider() -> None:
    """Bonferroni's: the level is divided by their number."""
    alone, among = (judge((lost(3, 2000),), 0.005, tried=tried) for tried in (1, 10))
    assert alone.accepted
    assert not among.accepted
    assert among.drop.high == pytest.approx(stats.beta.ppf(1 - 0.005, 4, 1997))


def test_answers_that_are_not_finite_are_refused_by_number() -> None:
    """The reason counts the rows."""
    values = np.zeros(500)
    values[:3] = np.inf
    judgement = judge((Loss("R²", values, low=-np.inf, bounded=False, percent=False),), 0.01)
    assert not judgement.accepted
    assert judgement.reason == "R²: no finite answer in 3 of 500 rows"
