"""How much may be lost at most: one-sided bounds on a mean loss, and the judgement that stands on them.

Losses of {0, 1} have the exact bound of Clopper and Pearson, those of {-1, 0, 1} the exact one of paired.py. Other
bounded losses are bet against (Waudby-Smith and Ramdas 2024): if their mean were m or more, a stake would be
multiplied by 1 - c + c (high - x) / (high - m) with each loss x, by 1 at most on average, whatever the distribution;
that a capital spread over several c grows to 1/α has then a chance of α at most. This holds for any number of rows, and
also where rows are independent but not alike, as those drawn by classes are (a product of means is largest where they
are equal).

Losses without a range, such as squared errors, are bet against as well, with the largest one seen in place of the
range. That holds in the long run, for losses of finite variance, and asks for more rows than Student's interval does;
tests/converters/precision/check_gate.py shows how well it holds before, on errors with heavy tails.

Belongs here: bounds, the judgement of one candidate, how many rows it would need. Not here: what a loss is (losses.py),
which rows it is measured on (splitting.py).
Imported as edge_runtime.converters.precision.certifying.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log, log1p

import numpy as np

from edge_runtime.errors import extra
from edge_runtime.timing import Estimate

from .losses import Loss, Losses, Values
from .paired import chance, upper_difference

__all__ = ["ALPHA", "FEWEST_UNBOUNDED", "Judgement", "judge", "lower_bound", "rows_needed", "upper_bound"]

ALPHA = 0.05
FEWEST_UNBOUNDED = 100
"""Below so many values, a bound that holds in the long run says nothing."""
MOST_NEEDED = 10**9
MOST_PAIRED = 2**22
"""Beyond so many rows, nobody waits for the exact sum."""
SHARES = np.append(np.arange(1, 30, 2) / 30, 1.0)
"""Parts of the stake that are bet ..."""
CAPITAL = np.append(np.full(15, 0.5 / 15), 0.5)
"""... and how the capital is spread over them: half is on no loss at all, where the bound is then within ln 2."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """``drop`` is the worst output's loss with its bounds, each one-sided at ``alpha`` / ``tried``. ``needed`` is how
    many ``counted`` (rows, groups) would have been enough at the rate that was seen; None if none would."""

    drop: Estimate
    accepted: bool
    rows: int
    needed: int | None
    reason: str
    what: str
    counted: str = "rows"


def judge(losses: Losses, max_drop: float, *, alpha: float = ALPHA, tried: int = 1) -> Judgement:
    """Whether all ``losses`` of a candidate are ``max_drop`` or less, at an error rate of ``alpha`` over all ``tried``
    candidates together, a number that must have been fixed before the first of them was judged.

    The worst output decides. There is no correction for several outputs: a candidate is accepted only if each of them
    passes, so that the one with too large a loss is enough to hold the rate.
    """
    if not losses or not tried >= 1 or not 0 < alpha < 1:
        raise ValueError(f"{len(losses)} losses, {tried} tried at {alpha}; expected one or more at a rate below 1")
    level = alpha / tried
    uppers = [upper_bound(loss, level) for loss in losses]
    worst = max(range(len(losses)), key=lambda i: (uppers[i], losses[i].value))
    loss, upper = losses[worst], uppers[worst]
    accepted = upper <= max_drop
    needed = loss.rows if accepted else needed_for(loss, max_drop, level)
    value = loss.value
    return Judgement(
        drop=Estimate(value, min(lower_bound(loss, level), value), max(upper, value), "%" if loss.percent else "1"),
        accepted=accepted,
        rows=loss.rows,
        needed=needed,
        reason=reason(loss, upper, max_drop, needed, accepted),
        what=loss.what,
        counted=loss.counted,
    )


def reason(loss: Loss, upper: float, max_drop: float, needed: int | None, accepted: bool) -> str:
    rows = f"{loss.rows:,} {loss.counted}"
    promise = loss.text(max_drop)
    if accepted:
        return f"{loss.what}: {loss.text(upper, bound=True)} at most, {loss.text(loss.value)} seen on {rows}"
    lost = np.count_nonzero(~np.isfinite(loss.values))
    if lost:
        return f"{loss.what}: no finite answer in {lost:,} of {rows}"
    if not max_drop > 0:
        return f"{loss.what}: {loss.text(loss.value)} seen on {rows}; no number of rows shows that nothing is lost"
    if needed is None:
        return f"{loss.what}: {loss.text(loss.value)} seen on {rows}; {promise} is allowed"
    return (
        f"{loss.what}: {loss.text(upper, bound=True)} at most; needs {needed:,} {loss.counted} for a certified"
        f" {promise}, {loss.rows:,} are there"
    )


def upper_bound(loss: Loss, alpha: float) -> float:
    """What the mean of all losses that may come is not above, but for a chance of ``alpha``. Infinite where nothing
    can be said."""
    values = loss.values
    if not np.isfinite(values).all() or (not loss.bounded and len(values) < FEWEST_UNBOUNDED):
        return float("inf")
    if loss.whole and loss.low == 0 and loss.high == 1:
        return clopper_pearson(int(values.sum()), len(values), alpha)
    if loss.whole and loss.low == -1 and loss.high == 1:
        return upper_difference(*counts(values), len(values), alpha)
    return betting(values, loss.high if loss.bounded else max(loss.high, float(values.max())), alpha)


def counts(values: Values) -> tuple[int, int]:
    """How many rows lose, and how many gain."""
    return int((values > 0).sum()), int((values < 0).sum())


def lower_bound(loss: Loss, alpha: float) -> float:
    """What the mean is not below, but for a chance of ``alpha``: the upper bound of the gains."""
    if loss.whole and loss.low == 0 and loss.high == 1:
        kept = int(len(loss.values) - loss.values.sum())
        return 1 - clopper_pearson(kept, len(loss.values), alpha)
    high = -loss.low if loss.bounded else loss.high
    return -upper_bound(Loss(loss.what, -loss.values, -loss.high, high, whole=loss.whole, bounded=loss.bounded), alpha)


def clopper_pearson(lost: int | float, rows: int | float, alpha: float) -> float:
    """The exact upper bound on the share of losses; between whole numbers, its continuation."""
    if lost >= rows:
        return 1.0
    with extra("convert", used_by="edge_runtime.converters.precision"):
        from scipy.stats import beta
    return float(beta.ppf(1 - alpha, lost + 1, rows - lost))


def betting(values: Values, high: float, alpha: float) -> float:
    """The smallest mean against which the capital grows to 1 / alpha. ``high`` is what no loss exceeds."""
    with extra("convert", used_by="edge_runtime.converters.precision"):
        from scipy.optimize import brentq
    mean = float(values.mean())
    width = high - mean
    most = high - 1e-9 * width
    if not mean < most < high or capital(values, high, most) < -log(alpha):
        return high
    found = brentq(lambda m: capital(values, high, m) + log(alpha), mean, most, xtol=1e-11 * width, rtol=1e-12)
    return min(high, float(found) + 1e-11 * width)


def capital(values: Values, high: float, mean: float) -> float:
    """The logarithm of what 1 has become, bet against ``mean``."""
    return float(np.logaddexp.reduce(growth(values, high, mean) + np.log(CAPITAL)))


def growth(values: Values, high: float, mean: float) -> Values:
    """The logarithm of what each of the stakes has grown by. [len(SHARES)]"""
    gains = (high - values) / (high - mean) - 1
    with np.errstate(divide="ignore"):  # a loss of all that was bet
        return np.array([np.log1p(np.maximum(share * gains, -1.0)).sum() for share in SHARES])


def rows_needed(max_drop: float, *, alpha: float = ALPHA, tried: int = 1, exact: bool = True) -> int:
    """How many rows must be lossless for a certified ``max_drop``: ln(tried / alpha) / max_drop, as good as. ``exact``
    is for losses of {0, 1}, such as labels; others are bet against, and need some more. Raises ValueError for a
    ``max_drop`` outside (0, 1): nothing is certified to be zero."""
    if not 0 < max_drop < 1:
        raise ValueError(f"max_drop {max_drop!r}; expected a number between 0 and 1, both excluded")
    start = log(tried / alpha)
    if exact:
        return ceil(start / -log1p(-max_drop) - 1e-9)
    none = Loss("", np.zeros(1))
    return needed_for(none, max_drop, alpha / tried) or MOST_NEEDED


def needed_for(loss: Loss, max_drop: float, alpha: float) -> int | None:
    """How many values like these would be enough; None if no number is."""
    values, n = loss.values, len(loss.values)
    if not np.isfinite(values).all() or not values.mean() < max_drop or max_drop <= 0:
        return None
    if loss.whole and loss.low == 0 and loss.high == 1:
        rate = float(values.mean())
        return smallest(lambda rows: clopper_pearson(rows * rate, rows, alpha) <= max_drop)
    if loss.whole and loss.low == -1 and loss.high == 1:
        lost, gained = (each / n for each in counts(values))
        return smallest(
            lambda rows: chance(ceil(rows * lost - 1e-9), int(rows * gained + 1e-9), rows, max_drop, alpha) <= alpha,
            MOST_PAIRED,
        )
    high = loss.high if loss.bounded else max(loss.high, float(values.max()))
    if high <= max_drop:
        return ceil(FEWEST_UNBOUNDED * loss.per)
    each = growth(values, high, max_drop) / n
    fewest = 1 if loss.bounded else FEWEST_UNBOUNDED
    enough = smallest(lambda rows: float(np.logaddexp.reduce(rows * each + np.log(CAPITAL))) >= -log(alpha))
    return None if enough is None else ceil(max(fewest, enough) * loss.per - 1e-9)


def smallest(enough: Callable[[int], bool], most: int = MOST_NEEDED) -> int | None:
    """The smallest number that is enough, by doubling and halving; None if ``most`` is not."""
    high = 1
    while not enough(high):
        high *= 2
        if high > most:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
