"""Which metric is chosen, what it refuses, and what each kind of answer loses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from edge_runtime.converters.precision.certifying import judge
from edge_runtime.converters.precision.losses import Loss, restricted
from edge_runtime.converters.precision.metric import choose_metric
from edge_runtime.errors import InputError

Array = NDArray[Any]
RNG = np.random.default_rng(0)
N = 40
SCORES = RNG.dirichlet(np.ones(5), N).astype(np.float32)
VECTORS = RNG.normal(size=(N, 8)).astype(np.float32)
NUMBERS = RNG.normal(3.0, 2.0, N)


def samples(array: Array) -> list[Array]:
    """As a graph gives them: a row axis of one."""
    return [row[None] for row in array]


def only(reference: Any, candidate: Any, **options: Any) -> Loss:
    """The one loss of one output `y`."""
    (loss,) = choose_metric({"y": reference}, **options).losses(
        {"y": reference}, {"y": candidate}, np.arange(len(reference))
    )
    return loss


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        (SCORES, "top-1 disagreement of 'y' with the reference"),
        (samples(SCORES), "top-1 disagreement of 'y' with the reference"),
        (SCORES[:, :4], "1 - cosine of 'y' with the reference"),
        (np.array(["a", "b"] * 20), "disagreement of 'y' with the reference"),
        (np.array(["a", "b"] * 20, dtype=object), "disagreement of 'y' with the reference"),
        (np.arange(N), "disagreement of 'y' with the reference"),
        (NUMBERS > 3, "disagreement of 'y' with the reference"),
        (samples(VECTORS), "1 - cosine of 'y' with the reference"),
        (NUMBERS, "squared difference of 'y' from the reference, over the variance of the reference"),
        (samples(NUMBERS[:, None]), "squared difference of 'y' from the reference, over the variance of the reference"),
    ],
)
def test_without_a_target_the_kind_of_the_answers_chooses(reference: Any, sentence: str) -> None:
    """And what agrees loses nothing, whatever its kind."""
    metric = choose_metric({"y": reference})
    assert metric.sentence == sentence
    assert metric.name == "agreement"
    assert only(reference, reference).values.max() == 0.0


def test_scores_lose_where_another_class_is_highest() -> None:
    """Of several positions in a sample, the share."""
    flipped = SCORES.copy()
    flipped[:10] = np.roll(flipped[:10], 1, axis=1)
    assert only(SCORES, flipped).value == 0.25
    assert only(SCORES, flipped).whole
    lines = [SCORES[:10], SCORES[10:30]]
    other = [flipped[:10], flipped[10:30]]
    loss = only(lines, other)
    assert loss.values.tolist() == [1.0, 0.0]
    assert not loss.whole


def test_cosine_is_exact_near_zero_and_one_at_most() -> None:
    """A millionth of noise is seen, an opposite answer is lost as a whole, and size alone is no loss."""
    noise = RNG.normal(size=VECTORS.shape)
    near = VECTORS + 1e-6 * noise
    wanted, found = VECTORS.astype(np.longdouble), near.astype(np.longdouble)
    exact = 1 - (wanted * found).sum(1) / np.sqrt((wanted**2).sum(1) * (found**2).sum(1))
    assert only(VECTORS.astype(np.float64), near).values == pytest.approx(exact.astype(float), rel=1e-4)
    assert only(VECTORS, -VECTORS).values.tolist() == [1.0] * N
    assert only(VECTORS, 1e30 * VECTORS.astype(np.float64)).values.max() < 1e-12


def test_zeros_agree_with_zeros_only() -> None:
    """Both zero is no loss, one zero is the worst."""
    zero = np.zeros((3, 4))
    some = np.ones((3, 4))
    assert only(zero, zero).value == 0.0
    assert only(zero, some).value == only(some, zero).value == 1.0


def test_numbers_lose_by_the_variance_of_the_reference() -> None:
    """Half a standard deviation is a quarter, two of them are all."""
    assert only(NUMBERS, NUMBERS + NUMBERS.std() / 2).value == pytest.approx(0.25)
    assert only(NUMBERS, NUMBERS + 2 * NUMBERS.std()).value == 1.0


def test_a_constant_is_lost_by_any_difference() -> None:
    """Beyond a millionth of it."""
    constant = np.full(N, 7.0)
    assert only(constant, constant * (1 + 5e-7)).value == 0.0
    assert only(constant, constant * (1 + 5e-6)).value == 1.0


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("reference", [SCORES, VECTORS, NUMBERS], ids=["scores", "vectors", "numbers"])
def test_one_value_that_is_not_finite_loses_its_sample(reference: Array, broken: float) -> None:
    """Whatever the others are."""
    candidate = reference.copy()
    candidate.reshape(N, -1)[4, -1] = broken
    assert np.flatnonzero(only(reference, candidate).values == 1.0).tolist() == [4]


def test_a_mask_of_the_reference_must_be_kept() -> None:
    """-inf where the reference has it is no loss, a number in its place is."""
    masked = VECTORS.copy()
    masked[:, 0] = -np.inf
    assert only(masked, masked).value == 0.0
    filled = masked.copy()
    filled[3, 0] = -1e4
    assert np.flatnonzero(only(masked, filled).values).tolist() == [3]


def test_ragged_samples_are_compared_one_by_one() -> None:
    """Another shape loses the sample; nothing instead of nothing does not."""
    reference = [np.ones((1, k)) for k in (3, 5, 3, 0)]
    candidate = [np.ones((1, k)) for k in (3, 5, 4, 0)]
    assert only(reference, candidate).values.tolist() == [0.0, 0.0, 1.0, 0.0]


def test_every_output_is_counted() -> None:
    """A state that is lost refuses a candidate whose scores are right."""
    reference = {"scores": samples(SCORES), "state": samples(VECTORS)}
    candidate = {"scores": samples(SCORES), "state": samples(np.zeros_like(VECTORS))}
    metric = choose_metric(reference)
    losses = metric.losses(reference, candidate, np.arange(N))
    assert [loss.value for loss in losses] == [0.0, 1.0]
    assert metric.measured(reference, candidate, np.arange(N)) == 1.0
    assert judge(losses, 0.2).what == "1 - cosine of 'state' with the reference"


def test_a_missing_output_is_refused() -> None:
    """By name, as are answers of another number."""
    with pytest.raises(InputError, match=r"has not all outputs \(column 'y'\)"):
        choose_metric({"y": SCORES}).losses({"y": SCORES}, {}, np.arange(N))
    with pytest.raises(InputError, match="39 answers of a candidate"):
        only(SCORES, SCORES[:39])


# With a target: real models, and the same with coarse weights.


def quantized(weights: Array, steps: int) -> Array:
    scale = np.abs(weights).max() / steps
    return np.asarray(np.round(weights / scale) * scale)


@pytest.fixture(scope="module")
def cancer() -> tuple[dict[str, Array], dict[str, Array], Array]:
    """Answers of a classifier and of one with coarse weights, and the truth."""
    x, y = load_breast_cancer(return_X_y=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
    reference = {"label": model.predict(x), "probabilities": model.predict_proba(x)}
    model[-1].coef_ = quantized(model[-1].coef_, 2)
    return reference, {"label": model.predict(x), "probabilities": model.predict_proba(x)}, y


@pytest.fixture(scope="module")
def diabetes() -> tuple[Array, Array, Array]:
    """The same of a regressor."""
    x, y = load_diabetes(return_X_y=True)
    model = Ridge(0.1).fit(x, y)
    reference = model.predict(x)
    model.coef_ = quantized(model.coef_, 3)
    return reference, model.predict(x), y


def test_accuracy_is_chosen_for_labels_with_a_target(cancer: tuple[dict[str, Array], dict[str, Array], Array]) -> None:
    """One value a row in {-1, 0, 1}; their mean is what scikit-learn says."""
    reference, candidate, y = cancer
    metric = choose_metric(reference, target=y)
    assert metric.name == "accuracy"
    assert metric.sentence == "accuracy lost by 'label'"
    (loss,) = metric.losses(reference, candidate, np.arange(len(y)))
    wanted = metrics.accuracy_score(y, reference["label"]) - metrics.accuracy_score(y, candidate["label"])
    assert loss.value == pytest.approx(wanted)
    assert set(loss.values) <= {-1.0, 0.0, 1.0}


def test_accuracy_is_chosen_for_scores_and_logits_of_a_network() -> None:
    """The highest is the answer; a NaN is no answer."""
    x, y = load_digits(return_X_y=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(x, y)
    logits = samples(model.decision_function(x))
    for answers in (logits, samples(model.predict_proba(x))):
        metric = choose_metric({"y": answers}, target=y)
        assert metric.name == "accuracy"
        broken = [np.full_like(answers[0], np.nan), *answers[1:]]
        (loss,) = metric.losses({"y": answers}, {"y": broken}, np.arange(len(y)))
        assert loss.value == pytest.approx(1 / len(y))


@pytest.mark.parametrize("name", ["roc_auc", "log_loss"])
def test_figures_of_probabilities_are_scikit_learns(
    name: str, cancer: tuple[dict[str, Array], dict[str, Array], Array]
) -> None:
    """Log loss is relative to the reference's."""
    reference, candidate, y = cancer
    figures = {"roc_auc": metrics.roc_auc_score, "log_loss": metrics.log_loss}
    columns = {"roc_auc": slice(1, 2), "log_loss": slice(0, 2)}[name]
    ours, theirs = (float(figures[name](y, each["probabilities"][:, columns])) for each in (reference, candidate))
    wanted = ours - theirs if name == "roc_auc" else theirs / ours - 1
    metric = choose_metric(reference, target=y, metric=name)
    (loss,) = metric.losses(reference, candidate, np.arange(len(y)))
    assert loss.value == pytest.approx(wanted, rel=1e-9)
    assert metric.measured(reference, candidate, np.arange(len(y))) == pytest.approx(wanted, rel=1e-9)


def test_classes_have_the_order_that_is_told() -> None:
    """Text labels, columns in another order than the alphabet's."""
    target = np.array(["no", "yes", "maybe", "yes"] * 30)
    classes = np.array(["yes", "maybe", "no"])
    scores = (target[:, None] == classes) * 0.8 + 0.2 / 3
    for name in ("accuracy", "log_loss", "roc_auc"):
        metric = choose_metric({"y": scores}, target=target, metric=name, classes=classes)
        (loss,) = metric.losses({"y": scores}, {"y": scores[:, ::-1]}, np.arange(len(target)))
        assert loss.value >= 0.5


@pytest.mark.parametrize("name", ["r2", "mae", "rmse"])
def test_figures_of_numbers_are_scikit_learns(name: str, diabetes: tuple[Array, Array, Array]) -> None:
    """Errors are relative to the reference's, R² is not; and r2 is what is chosen."""
    reference, candidate, y = diabetes
    figure = {"r2": metrics.r2_score, "mae": metrics.mean_absolute_error, "rmse": metrics.root_mean_squared_error}[name]
    ours, theirs = figure(y, reference), figure(y, candidate)
    metric = choose_metric({"prediction": reference}, target=y, metric=name)
    (loss,) = metric.losses({"prediction": reference}, {"prediction": candidate}, np.arange(len(y)))
    assert loss.value == pytest.approx(ours - theirs if name == "r2" else theirs / ours - 1)
    assert choose_metric({"prediction": reference}, target=y).name == "r2"


@pytest.mark.parametrize("name", ["r2", "mae", "rmse"])
def test_the_spread_of_a_ratio_is_the_jackknifes(name: str, diabetes: tuple[Array, Array, Array]) -> None:
    """The closed form and the figure asked again and again agree on the error of the mean."""
    reference, candidate, y = diabetes
    rows = np.arange(len(y))
    metric = choose_metric({"y": reference}, target=y, metric=name)
    (closed,) = metric.losses({"y": reference}, {"y": candidate}, rows)
    without = np.array(
        [
            metric.measured({"y": np.delete(reference, i)}, {"y": np.delete(candidate, i)}, np.delete(rows, i))
            for i in rows
        ]
    )
    jackknife = np.sqrt((len(y) - 1) * without.var())
    assert closed.values.std() / np.sqrt(len(y)) == pytest.approx(jackknife, rel=0.02)


def test_the_spread_of_an_auc_is_that_of_many_draws() -> None:
    """Over 200 simulated splits, the figure spreads as each of them says."""
    found: list[float] = []
    said: list[float] = []
    target = np.arange(400) % 2
    for _ in range(200):
        scores = RNG.normal(size=400) + 1.5 * target
        reference, candidate = {"y": scores}, {"y": scores + RNG.normal(size=400)}
        if len(said) < 2:
            (loss,) = choose_metric(reference, target=target, metric="roc_auc").losses(
                reference, candidate, np.arange(400)
            )
            said.append(loss.values.std(ddof=1) / np.sqrt(len(loss.values)))
            assert loss.rows == 400
        found.append(metrics.roc_auc_score(target, reference["y"]) - metrics.roc_auc_score(target, candidate["y"]))
    assert np.mean(said) == pytest.approx(np.std(found), rel=0.15)


def test_ndcg_is_judged_group_by_group() -> None:
    """Its mean is scikit-learn's over all groups; a group of one row ranks nothing."""
    groups = np.repeat(np.arange(50), 8)
    target = RNG.integers(0, 4, 400).astype(np.float64)
    reference = {"score": target + RNG.normal(size=400)}
    candidate = {"score": reference["score"] + RNG.normal(size=400)}
    metric = choose_metric(reference, target=target, metric="ndcg", groups=groups)
    (loss,) = metric.losses(reference, candidate, np.arange(400))
    shaped = [each.reshape(50, 8) for each in (target, reference["score"], candidate["score"])]
    wanted = metrics.ndcg_score(shaped[0], shaped[1]) - metrics.ndcg_score(shaped[0], shaped[2])
    assert loss.value == pytest.approx(wanted)
    assert (len(loss.values), loss.counted) == (50, "groups")


def test_a_callers_function_is_asked_with_stacked_arrays() -> None:
    """Higher is better; shapes are those of all samples together."""
    target = np.arange(N) % 5

    def precision(target: Array, outputs: dict[str, Array]) -> float:
        assert outputs["y"].shape == (len(target), 5)
        return float((outputs["y"].argmax(axis=1) == target).mean())

    reference, candidate = (
        {"y": samples(np.eye(5)[target])},
        {"y": samples(np.eye(5)[np.where(np.arange(N) < 4, 0, target)])},
    )
    metric = choose_metric(reference, target=target, metric=precision)
    assert metric.sentence == "precision lost"
    (loss,) = metric.losses(reference, candidate, np.arange(N))
    assert loss.value == pytest.approx(3 / N)
    assert np.sort(loss.values) == pytest.approx([0.0] * (N - 3) + [1.0] * 3, abs=1e-9)


def test_a_candidate_that_answers_nothing_finite_is_refused_by_every_metric(
    diabetes: tuple[Array, Array, Array],
) -> None:
    """Never an error of the metric's library."""
    reference, _, y = diabetes
    rows = np.arange(len(y))
    broken = np.full(len(y), np.nan)

    def best(target: Array, outputs: dict[str, Array]) -> float:
        return -float(np.abs(outputs["y"] - target).mean())

    above = (y > np.median(y)).astype(np.int64)
    for metric, target in ((best, y), ("r2", y), ("mae", y), ("rmse", y), ("roc_auc", above)):
        chosen = choose_metric({"y": reference}, target=target, metric=metric)
        judgement = judge(chosen.losses({"y": reference}, {"y": broken}, rows), 0.5)
        assert not judgement.accepted
        assert "no finite answer" in judgement.reason
        assert chosen.measured({"y": reference}, {"y": broken}, rows) == np.inf


def test_the_rows_are_those_of_the_split() -> None:
    """Answers to a part of the samples are held against the target of that part."""
    rows = np.array([30, 2, 17])
    target = np.arange(N) % 5
    reference = {"y": np.eye(5)[target]}
    metric = choose_metric(reference, target=target)
    assert metric.losses(restricted(reference, rows), restricted(reference, rows), rows)[0].values.tolist() == [0.0] * 3
    assert metric.losses(restricted(reference, rows), {"y": np.eye(5)[[0, 0, 0]]}, rows)[0].value == pytest.approx(
        2 / 3
    )


HALF = np.arange(N) % 2
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "unknown": ({"y": SCORES}, {"target": HALF, "metric": "f2"}, "metric 'f2'; expected one of"),
    "no target": ({"y": SCORES}, {"metric": "accuracy"}, "a metric needs the true answers"),
    "length": ({"y": SCORES}, {"target": HALF[:5]}, r"shape \[5\]; expected one value for each of 40 rows"),
    "NaN": ({"y": NUMBERS}, {"target": np.where(HALF, np.nan, 1.0)}, r"missing or infinite in 20 of 40 rows \(row 1\)"),
    "None": ({"y": SCORES}, {"target": np.array([None, *["a"] * 39], dtype=object)}, r"missing or infinite in 1 of 40 rows \(row 0\)"),
    "one class": ({"y": SCORES[:, :2] / SCORES[:, :2].sum(1, keepdims=True)}, {"target": HALF * 0, "metric": "log_loss"}, "of one class, 0; expected two classes for log_loss"),
    "one class, accuracy": ({"y": SCORES}, {"target": HALF * 0}, "of one class, 0; expected two classes for accuracy, or metric='agreement'"),
    "rare class": ({"y": NUMBERS}, {"target": (np.arange(N) < 3).astype(int), "metric": "roc_auc"}, "class 1 has 3 rows; expected 20 or more"),
    "constant": ({"y": NUMBERS}, {"target": np.full(N, 2.0)}, "the target is constant, 2.0"),
    "perfect": ({"y": NUMBERS}, {"target": NUMBERS, "metric": "mae"}, "the reference's mae is 0"),
    "kind": ({"y": VECTORS}, {"target": HALF, "metric": "r2"}, r"'r2' does not fit the outputs \{'y': 'vector'\}; expected one float per row"),
    "several": ({"a": NUMBERS, "b": NUMBERS}, {"target": NUMBERS + 1, "metric": "r2"}, r"fits several outputs, \['a', 'b'\]"),
    "other words": ({"label": np.array(["a", "b"] * 20)}, {"target": HALF}, "never is the label"),
    "no class": ({"y": SCORES}, {"target": HALF + 4, "metric": "accuracy"}, "expected classes: 0 to 4"),
    "text": ({"y": NUMBERS}, {"target": np.array(["a", "b"] * 20), "metric": "mae"}, "expected numbers for mae"),
    "groups": ({"y": NUMBERS}, {"target": HALF, "metric": "ndcg"}, "ndcg is a figure of groups"),
    "groups for accuracy": ({"y": SCORES}, {"target": np.arange(N) % 5, "groups": HALF}, "accuracy is certified over rows that are independent; expected metric='ndcg', a function"),
    "alone": ({"y": NUMBERS}, {"target": HALF, "metric": "ndcg", "groups": np.arange(N)}, "no group has two rows"),
    "negative": ({"y": NUMBERS}, {"target": HALF - 1, "metric": "ndcg", "groups": HALF}, "negative relevances"),
    "no number": ({"y": NUMBERS}, {"target": HALF, "metric": lambda target, outputs: None}, "the metric gave None; expected one number"),
    "not finite": ({"y": NUMBERS}, {"target": HALF, "metric": lambda target, outputs: np.nan}, "the metric gave nan for the reference"),
    "ragged": ({"y": [np.ones((1, 2)), np.ones((1, 3))]}, {"target": HALF[:2], "metric": lambda target, outputs: 1.0}, "expected one shape for a metric of your own"),
    "empty": ({}, {}, "the reference gave no answers"),
    "dates": ({"y": np.zeros(3, "M8[s]")}, {}, r"values of \['datetime64\[s\]'\] \(column 'y'\); expected numbers, text or bools"),
    "no figure": ({"y": np.where(HALF, np.inf, NUMBERS)}, {"target": NUMBERS, "metric": "mae"}, "values that are not finite"),
}  # fmt: skip


@pytest.mark.parametrize(("reference", "options", "says"), REFUSED.values(), ids=REFUSED)
def test_bad_data_is_refused_before_the_work_starts(
    reference: dict[str, Any], options: dict[str, Any], says: str
) -> None:
    """In one line that says what would be right."""
    with pytest.raises(InputError, match=says):
        choose_metric(reference, **options)
