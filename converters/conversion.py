"""The whole way from a trained model to a bundle: read, compare, choose a precision and golden rows, write.

Belongs here: the order of the steps and their outcome. Not here: any of the steps.
Imported as edge_runtime.converters.conversion; public are edge_runtime.converters.convert and Conversion.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from edge_runtime.bundle import Bundle
from edge_runtime.ending import Decision
from edge_runtime.errors import InputError, UnsupportedModelError
from edge_runtime.generated import Generated
from edge_runtime.golden import Sample, encode, encode_answers
from edge_runtime.graph_scan import scan
from edge_runtime.inspection import KINDS_OF_STATEMENT
from edge_runtime.manifest import Certificate, Manifest, Variant
from edge_runtime.model import Model, load
from edge_runtime.parallel import usable_cores

from .behind_images import with_images, without_images
from .checked import Checked, Tell
from .checked_network import CheckedNetwork
from .checked_table import CheckedTable
from .data import read_given
from .files import read_model
from .precision.candidate import Candidate, Outcome
from .precision.demand import Demand
from .precision.search import divided, search
from .preprocessing import Image, images_of
from .provenance import now
from .registry import Registered, is_registered, opened
from .source import Request, Source, read_any

__all__ = ["Candidate", "Conversion", "Image", "Report", "convert"]

INPUT_DTYPES = ("auto", "float32", "float64")


@dataclass(frozen=True, slots=True)
class Report:
    """What was compared, in figures: ``rows`` of data, ``edge_rows`` answered and ``refused`` by both, the ``largest``
    difference per output, golden rows and the leaves they visit, bytes."""

    rows: int
    edge_rows: int
    refused: int
    largest: dict[str, float]
    golden_rows: int
    leaves_visited: int
    leaves: int
    graph_bytes: int
    statements: tuple[str, ...]


@dataclass(frozen=True)
class Conversion:
    """A model that answers as its source does; `save` writes it. Nothing was written so far."""

    name: str
    version: str
    manifest: Manifest
    report: Report
    contents: dict[str, bytes] = field(repr=False)
    outcome: Outcome = field(repr=False)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Every precision that was tried, the reference first, with what was measured of it and the verdict."""
        return self.outcome.candidates

    def save(self, path: str | os.PathLike[str]) -> Bundle:
        """Write the bundle, whole or not at all, and open it as a device would.

        Raises OSError where the disk refuses; InputError unless the name ends in .edge.
        """
        target = os.fspath(path)
        if not target.endswith(".edge"):
            raise InputError(f"{target}: not a bundle's name", expected="a path that ends in .edge")
        return Bundle.write(target, self.manifest, self.contents)

    def model(self) -> Model:
        """The bundle, made ready in this process, without a file of the caller's."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.edge")
            Bundle.write(path, self.manifest, self.contents)
            return load(path)

    def save_report(self, path: str | os.PathLike[str]) -> None:
        """Write what was tried, what was taken and why as one HTML page.

        Raises InputError unless the name ends in .html, MissingExtraError without the extra `bench`, OSError where the
        disk refuses.
        """
        from .precision_page import save_page

        save_page(path, self.manifest, self.outcome)

    def _repr_html_(self) -> str:
        return self.model()._repr_html_()


def convert(
    source: Any,
    *,
    data: Any = None,
    target: Any = None,
    name: str | None = None,
    version: str | None = None,
    metric: str | Callable[..., float] | None = None,
    max_drop: float = 0.0,
    objective: str = "latency",
    require: str | Sequence[str] | None = None,
    groups: Any = None,
    input_dtype: str = "auto",
    decision: Decision | None = None,
    preprocess: Mapping[str, Image] | None = None,
    trust: bool = False,
    progress: Tell | None = None,
) -> Conversion:
    """Convert a trained model, compare it with its source on all of ``data`` (and of a table, on edge rows).

    ``source`` is a fitted object, a torch.nn.Module or exported program, a keras.Model, an onnx.ModelProto, or the path
    of a model's file: LightGBM's .txt, XGBoost's .json and .ubj, CatBoost's .cbm, .onnx, .pt2, .keras; .joblib, .pkl
    and .pt with ``trust``, since unpickling runs their code. Or it is a model in MLflow: models:/Fraud@champion,
    models:/Fraud/3, runs:/<id>/<name>, the folder of one; ``name`` and ``version`` are then those of the registry,
    unless they are given.

    ``data`` are rows as the source takes them (frame, array, dict of columns, list of records, or a file of rows); for
    a network, tensors: an array, a dict of arrays or an .npz file with all samples along their first axes, or a list of
    dicts, one per sample. Without any, a model in MLflow is compared on its input example, and the certificate says so.
    ``target`` names a column (or tensor) of true answers, or gives them, [N].

    With ``max_drop`` above 0, or with ``require``, smaller precisions are tried, and one is shipped only if its loss
    against the float32 reference is certified to be within ``max_drop``: by ``metric`` (accuracy, roc_auc, log_loss,
    mae, rmse, r2, ndcg, or a callable of target and outputs; by default what goes with the output, or without a target
    the agreement with the reference), on rows that nothing was chosen by. ``objective`` is what is then to be small:
    latency, size or memory; ``require`` what must hold ("size<=1MB", "latency<=2ms"), or BudgetError is raised.
    ``groups`` names the column (or tensor) of what is ranked together, or gives it, [N].

    ``input_dtype`` is how the app hands floats over; ``decision`` gives a binary classifier a score and a yes or no;
    ``preprocess`` puts the preparation of images into the graph, by input. ``progress(stage, done, all)`` is called as
    it goes.

    Raises UnsupportedModelError for what cannot be converted without guessing, ParityError if the result answers any
    row differently, InputError for unusable data, BudgetError if nothing keeps what was required.
    """
    tell = progress or (lambda stage, done, whole: None)
    if input_dtype not in INPUT_DTYPES:
        raise InputError(f"input_dtype is {input_dtype!r}", expected=f"one of {INPUT_DTYPES}")
    demand = Demand.of(metric=metric, max_drop=max_drop, objective=objective, require=require)
    if target is None and metric not in (None, "agreement"):
        raise InputError("a metric needs the true answers", expected="a target, or metric=None for agreement")
    images = images_of(preprocess or {})
    tell("read", 0, 1)
    if isinstance(source, (str, os.PathLike)) and is_registered(os.fspath(source)):
        with opened(os.fspath(source), trust=trust) as found:
            return convert(
                found, data=data, target=target, name=name or found.name, version=version or found.version,
                metric=metric, max_drop=max_drop, objective=objective, require=require, groups=groups,
                input_dtype=input_dtype, decision=decision, preprocess=preprocess, progress=progress,
            )  # fmt: skip
    origin: dict[str, str] = {}
    registered = source if isinstance(source, Registered) else None
    table, tensors = registered.given(data, target, groups) if registered else read_given(data, target, groups)
    if registered:
        origin, source = registered.provenance, registered.model
    elif isinstance(source, (str, os.PathLike)):
        origin["source.file"] = os.path.basename(os.fspath(source))
        source = read_model(os.fspath(source), trust=trust)
    if table is not None:
        table = table.named(getattr(source, "feature_names_in_", getattr(source, "feature_names", None)))
    asked = Request(table, input_dtype, decision, tensors)
    read = with_images(read_any(source, without_images(asked, images)), images)
    if registered and data is None and table is not None:
        read = replace(read, statements=(*read.statements, registered.only_the_example(len(table.frame))))
    checked: Checked
    if isinstance(read, Source):
        checked = CheckedTable(read, asked.data, origin)
    else:
        checked = CheckedNetwork(read, asked.given_for(read.schema.inputs), origin)
    tell("read", 1, 1)
    draft = Draft(checked, name or name_of(source), version or "0")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.edge")
        contents = {"graph.onnx": checked.graph, **encode([], checked.schema)}
        Bundle.write(path, draft.manifest((checked.reference,)), contents)
        model = load(path)
        if demand.searched:
            divided(checked.rows, demand)  # too few rows are told before they are compared
        checked.compare(model, tell)
        outcome = search(checked.graph, model, checked.reference, draft.opened, checked.rows, demand, tell)
        manifest, contents = draft.finished(model, outcome)
        Bundle.write(path, manifest, contents)
        tell("self-test", 0, 1)
        for variant in manifest.variants:
            report = load(path, variant=variant.name).verify()
            if not report.ok:
                raise UnsupportedModelError(
                    f"the variant {variant.name} does not repeat its own answers ({report.problems[0]})",
                    advice="report this: it should",
                )
        tell("self-test", 1, 1)
    return Conversion(draft.name, draft.version, manifest, draft.report(manifest), contents, outcome)


class Draft:
    """What becomes the bundle, while it is being made."""

    def __init__(self, checked: Checked, name: str, version: str) -> None:
        self.checked, self.name, self.version = checked, name, version
        self.created = now()
        self.golden: list[Sample] = []

    def opened(self, variant: Variant, graph: bytes) -> Model:
        """The model with another graph, without a bundle around it."""
        scan(graph)
        return Model(graph, self.checked.schema, self.checked.ending, variant, usable_cores())

    def finished(self, model: Model, outcome: Outcome) -> tuple[Manifest, dict[str, bytes]]:
        """Manifest and contents of the variants that are shipped: the last one answers the golden rows for all that
        have no answers of their own, ``model`` being the reference."""
        checked = self.checked
        self.golden = checked.choose(model, sum(len(each.graph) for each in outcome.shipped))
        *others, last = outcome.shipped
        if last.variant != checked.reference:
            self.golden = answered(self.golden, self.opened(last.variant, last.graph))
        contents = {last.variant.graph: last.graph, **encode(self.golden, checked.schema)}
        variants = []
        for each in others:
            entry = f"golden.{each.variant.name}.json"
            own = answered(self.golden, self.opened(each.variant, each.graph))
            contents |= {
                each.variant.graph: each.graph,
                entry: encode_answers([sample.outputs for sample in own], checked.schema),
            }
            variants.append(replace(each.variant, golden=entry))
        return self.manifest((*variants, last.variant), outcome), contents

    def manifest(self, variants: tuple[Variant, ...], outcome: Outcome | None = None) -> Manifest:
        checked, figures = self.checked, self.checked.figures()
        largest, statements = figures.largest, checked.statements()
        if outcome and outcome.largest is not None:  # what was shown so far is shown of the reference
            largest = {**largest, **outcome.largest}
            statements = tuple(of_reference(each, checked.reference.name) for each in statements)
        statements = (*statements, *outcome.statements) if outcome else ()
        certificate = Certificate(figures.rows, figures.edge_rows, largest, checked.tolerance, statements)
        return Manifest(
            self.name, self.version, self.created, checked.schema, checked.ending, variants, certificate,
            checked.provenance, "golden.json", (),
        )  # fmt: skip

    def report(self, manifest: Manifest) -> Report:
        figures = self.checked.figures()
        return Report(
            figures.rows, figures.edge_rows, figures.refused, figures.largest, len(self.golden), figures.visited,
            figures.leaves, len(self.checked.graph), manifest.certificate.statements,
        )  # fmt: skip


def answered(samples: Sequence[Sample], model: Model) -> list[Sample]:
    """The samples as ``model`` answers them."""
    made = []
    for sample in samples:
        if model.schema.columns:
            made.append(Sample(sample.inputs, model.predict_one(sample.inputs)))
        else:
            feed = {name: each.array() if isinstance(each, Generated) else each for name, each in sample.inputs.items()}
            made.append(Sample(sample.inputs, model.run(feed)))
    return made


def of_reference(statement: str, name: str) -> str:
    """A statement that holds for the reference and not for all variants: "checked of float32: …"."""
    kind, colon, rest = statement.partition(":")
    if colon and kind in KINDS_OF_STATEMENT:
        return f"{kind} of {name}:{rest}"
    kind, _, rest = statement.partition(" ")
    return f"{kind} of {name}: {rest}" if kind in KINDS_OF_STATEMENT else f"of {name}: {statement}"


def name_of(source: Any) -> str:
    steps = getattr(source, "steps", None)
    return type(steps[-1][1] if steps else source).__name__
