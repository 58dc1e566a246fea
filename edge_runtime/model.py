"""A bundle made ready on this machine: one session, the schema, and the ways to ask it.

Belongs here: loading, predicting, verifying. Not here: the container (bundle.py), what a value may be (values.py), what
follows the raw sum (ending.py), files of rows (rows.py).
Imported as edge_runtime.model; `Model` and `load` are public in edge_runtime.
"""

from __future__ import annotations

import os
import weakref
from _thread import _local, allocate_lock
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from . import golden, parallel, plain
from .binding import Call
from .bundle import Bundle, read_file, sha256
from .ending import Ending
from .errors import BundleError, InputError, IntegrityError, UnsupportedModelError, VariantWarning
from .golden import Sample, VerificationReport
from .graph_scan import scan
from .manifest import Manifest, Variant
from .row import Slot, compile_row, values_of
from .row_order import WORTH_SORTING, order_of
from .schema import Schema, TensorSpec
from .session import ERRORS, failed, inputs_of, open_session, outputs_of
from .tables import Table, read_table
from .tensors import check_tensors
from .values import coders

__all__ = ["Model", "load"]

Arrays = dict[str, NDArray[Any]]
Answered = tuple[str, Mapping[str, Any], Mapping[str, Any]]  # what was asked, what came, what was recorded
SELF_TEST = 4  # golden rows that `load` replays; `verify` replays all
BLOCK = 4096  # rows per run of a small graph: more cost cache, fewer cost calls
SORTED_BLOCK = 16384  # where rows are sorted: the more there are, the more are alike


def load(
    path: str | os.PathLike[str], *, digest: str | None = None, variant: str | None = None, threads: int | None = None
) -> Model:
    """Open a bundle (or a plain `.onnx` file) and make it ready: checked, self-tested, warmed up when this returns.

    ``digest`` ("sha256:…") pins the bundle's identity, ``threads`` bounds the cores used (default: all that this
    process may run on). ``variant`` names the one to take; left out, it is the one that `edge tune` found best here,
    or else the first, and if that one cannot be opened here, or answers otherwise than was recorded, the next one that
    does: a VariantWarning says so.
    Raises BundleError, and its kinds, for a file that may not be opened or whose answers here are not those recorded;
    FileNotFoundError where there is none; UnsupportedModelError for a plain graph whose inputs or outputs are no
    tensors; InputError for a ``variant`` that the file does not have.
    """
    name = os.fspath(path)
    if threads is not None and threads < 1:
        raise InputError(f"threads is {threads}", expected="1 or more")
    if name.lower().endswith(".onnx"):
        return _load_plain(name, digest, variant, threads)
    bundle = Bundle.open(name, digest=digest)
    if variant is not None or len(bundle.manifest.variants) == 1:
        return _first_right(bundle, (bundle.manifest.variant(variant),), threads)
    from .choice import in_order

    return _first_right(bundle, in_order(bundle), threads)


def _first_right(bundle: Bundle, variants: Sequence[Variant], threads: int | None) -> Model:
    """The model of the first variant that answers here as recorded; if there is none, the first one's error is raised.
    What is wrong with the file, wherever it is opened, is raised at once."""
    left: dict[str, BundleError] = {}
    try:
        for chosen in variants:
            raw = bundle.read(chosen.graph)
            scan(raw, where=chosen.graph)
            rows = golden.recorded(bundle.manifest, chosen, bundle.read)[:SELF_TEST]
            try:
                model = _right(raw, bundle, chosen, rows, threads)
            except BundleError as error:
                left[chosen.name] = error
                continue
            _warn_of(left, bundle.path, chosen.name)
            return model
        raise next(iter(left.values()))
    except BundleError as error:
        error.args = (f"{bundle.path}: {error}",)
        raise


def _right(raw: bytes, bundle: Bundle, chosen: Variant, rows: list[Sample], threads: int | None) -> Model:
    """The model of the variant ``chosen``. Raises BundleError if it cannot be one, or answers ``rows`` otherwise."""
    try:
        model = Model(raw, bundle.manifest.schema, bundle.manifest.ending, chosen, threads, bundle=bundle)
        report = model._replay(rows)
    except UnsupportedModelError as error:
        raise BundleError(str(error)) from error
    if not report.ok:
        raise IntegrityError(f"the golden rows are not answered as recorded: {report.problems[0]}")
    return model


def _warn_of(left: Mapping[str, BundleError], path: str, taken: str) -> None:
    """One line for each variant that was left for the one ``taken``, as a warning at the call of `load`."""
    for name, error in left.items():
        import warnings

        from .words import printable

        text = f"{path}: variant {name!r} is left out here, {taken!r} answers: {error}"
        warnings.warn(printable(text), VariantWarning, stacklevel=4)


def _load_plain(path: str, digest: str | None, variant: str | None, threads: int | None) -> Model:
    if variant is not None:
        raise InputError(f"there is no variant {variant!r}", expected="none: a plain .onnx file has one graph")
    only = Variant("onnx", path, "as written", 2**20, False)
    stem = os.path.splitext(os.path.basename(path))[0]
    try:
        raw = read_file(path)
        found = f"sha256:{sha256(raw)}"
        if digest is not None and digest != found:
            raise IntegrityError(f"the file's digest is {found}; expected {digest}")
        scan(raw)
        return Model(raw, None, Ending("graph"), only, threads, name=stem, digest=found)
    except (BundleError, UnsupportedModelError) as error:
        error.args = (f"{path}: {error}",)
        raise


class Model:
    """A model that is ready to answer. May be used by many threads at once, and after a fork.

    ``schema`` says what goes in and out, ``manifest`` what the bundle says of itself (None for a plain `.onnx` file).
    """

    def __init__(
        self,
        raw: bytes,
        schema: Schema | None,
        ending: Ending,
        variant: Variant,
        threads: int | None,
        *,
        bundle: Bundle | None = None,
        name: str = "",
        digest: str = "",
    ) -> None:
        self._raw, self._variant, self._ending, self._bundle = raw, variant, ending, bundle
        self._threads = threads or parallel.usable_cores()
        self._lock = allocate_lock()
        self._session: onnxruntime.InferenceSession | None = None
        self.manifest: Manifest | None = bundle.manifest if bundle is not None else None
        self.name = bundle.manifest.name if bundle is not None else name
        self.version = bundle.manifest.version if bundle is not None else ""
        self.variant = variant.name
        self.digest = bundle.digest if bundle is not None else digest
        self.graph_inputs: tuple[TensorSpec, ...] = inputs_of(self.session)
        self.graph_outputs: tuple[TensorSpec, ...] = outputs_of(self.session)
        self.schema: Schema = schema or plain.schema_of(self.graph_inputs, self.graph_outputs)
        self._check_graph()
        self._finish_table = None if ending.kind == "graph" else ending.finish_array(self._width())
        self._coders = coders(self.schema)
        self._local = _local()
        self._fast = self._compile()
        if self._fast is not None:
            # An instance attribute, not a method: the frame that a method adds is 2% of a call.
            self.predict_one = self._fast  # type: ignore[assignment,method-assign]
        _ALIVE.add(self)

    # What may be asked

    def predict_one(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one record, as Python scalars and lists by output name.

        A table model takes {column: value}, a tensor model {input: array without the row axis}.
        Raises InputError for a record that does not fit the schema, UnsupportedModelError where the first axis of an
        output is not the rows'.
        """
        if not self.schema.columns:
            if not isinstance(row, Mapping):
                raise InputError(f"got {type(row).__name__}", expected="a record, {input: array}")
            return _row(_by_row(self.run({name: _as_one_row(value) for name, value in row.items()}), 1), 0)
        values = values_of(row, self._coders, None)
        feeds: Arrays = self._blank(1)
        for coder, value in zip(self._coders, values, strict=True):
            feeds[coder.column.tensor].reshape(1, -1)[0, coder.column.index] = value
        return _row(self._answer(feeds, 1), 0)

    def predict(self, data: Any) -> Arrays:
        """The answers to many rows, one array of N rows per output.

        ``data`` is a frame (pandas, polars, Arrow), a dict of columns, a list of records, one record, or an array whose
        columns are the schema's by position; for a tensor model a dict of tensors, or the one tensor.
        Raises InputError naming column and row for a value that does not fit the schema.
        """
        if not self.schema.columns:
            if not isinstance(data, Mapping):
                if len(self.schema.inputs) != 1:
                    raise InputError(
                        f"got {type(data).__name__}", expected=f"a dict of {[t.name for t in self.schema.inputs]}"
                    )
                data = {self.schema.inputs[0].name: data}
            return self.run(data)
        table = read_table(data, self.schema, self._coders)
        if not table.rows:
            return self._no_rows()
        if self._ending.kind == "graph" and not self._variant.small:
            return self._whole(table)
        return self._blocks(table)

    def run(self, tensors: Mapping[str, Any]) -> Arrays:
        """The graph's own outputs for its own tensors: {name: array} in and out; a table model's raw sums.

        Raises InputError for a name, dtype or shape that is not the graph's, a value its dtype cannot hold, or tensors
        that do not go together.
        """
        return self._run(check_tensors(tensors, self.graph_inputs))

    def bind(self, rows: int = 1, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Call:
        """The graph with preallocated tensors of ``rows`` rows; ``shapes`` for inputs with other free axes.

        Fill `call.inputs[name]`, then `call()` returns {name: array}, views that are valid until the next call.
        Raises UnsupportedModelError for text tensors, InputError for shapes that do not fit.
        """
        if rows < 1:
            raise InputError(f"rows is {rows}", expected="1 or more")
        return Call(self.session, self.graph_inputs, self.graph_outputs, rows, shapes or {})

    def verify(self) -> VerificationReport:
        """Replay all golden rows on this machine, one by one and as one table.

        Raises IntegrityError where they do not fit the schema.
        """
        return self._replay(self.golden_rows())

    @property
    def session(self) -> onnxruntime.InferenceSession:
        """The onnxruntime session of this process; opened anew after a fork."""
        if self._session is None:
            with self._lock:
                if self._session is None:
                    threads = 1 if self._variant.small else self._threads
                    self._session = open_session(
                        self._raw,
                        threads=threads,
                        largest_tensor=self._variant.largest_tensor,
                        precise=self._variant.precise,
                    )
        return self._session

    def golden_rows(self) -> list[Sample]:
        """The golden rows that the bundle carries, with the answers that this variant must give; none for a plain
        `.onnx` file."""
        if self._bundle is None:
            return []
        return golden.recorded(self._bundle.manifest, self._variant, self._bundle.read)

    def __repr__(self) -> str:
        return f"<Model {self.name!r} {self.version!r} {self.variant!r} {self.digest[:19]}…>"

    def _repr_html_(self) -> str:
        from .page import model_html

        return model_html(self)

    # How it is answered

    def _check_graph(self) -> None:
        """The bundle's schema must be the graph's."""
        declared = {spec.name: spec for spec in self.schema.inputs}
        found = {spec.name: spec for spec in self.graph_inputs}
        if declared.keys() != found.keys() or not all(_fits(found[name], declared[name]) for name in found):
            raise BundleError("edge.json declares other inputs than the graph has")
        shapes = [spec.shape for spec in self.graph_inputs]
        columns = (shapes[0][1] or 0) if len(shapes) == 1 and len(shapes[0]) == 2 else 0
        if any(cuts.column >= columns for cuts in self._variant.order):
            raise BundleError("edge.json orders rows by a column that the graph's one tensor does not have")
        outputs = self.graph_outputs
        if self._ending.kind != "graph":
            if not self.schema.columns:
                raise BundleError("the ending goes with a table, and edge.json declares no columns")
            width = outputs[0].shape[1] if len(outputs) == 1 and len(outputs[0].shape) == 2 else None
            if width is None or (outputs[0].name, outputs[0].dtype) != ("raw", "float64"):
                raise BundleError("the ending wants a graph with the one output raw, float64 [N, K]")
            outputs = self._ending.outputs(width)
        if [(spec.name, spec.dtype) for spec in self.schema.outputs] != [(spec.name, spec.dtype) for spec in outputs]:
            raise BundleError("edge.json declares other outputs than the model gives")
        exact = self._ending.kind != "graph"
        for made, spec in zip(outputs, self.schema.outputs, strict=True):
            if made.shape != spec.shape if exact else made.shape and not _fits(made, spec):  # () may be any shape
                raise BundleError("edge.json declares other output shapes than the model gives")

    def _compile(self) -> Callable[[Mapping[str, Any]], dict[str, Any]] | None:
        """The compiled `predict_one`, where the columns fill one numeric tensor and an ending follows."""
        if self._ending.kind == "graph" or not self._coders or len(self.schema.inputs) != 1:
            return None
        dtype = self.schema.inputs[0].dtype
        if dtype not in ("float64", "float32"):
            return None
        width = self._width()

        def new_slot() -> Slot:
            call = self.bind(rows=1)
            if call.outputs["raw"].shape != (1, width):
                raise _not_by_row("raw", call.outputs["raw"], 1)
            run, binding, _ = call.parts
            buffer = call.inputs[self.schema.inputs[0].name].data.cast("B")
            raw = call.outputs["raw"].data.cast("B").cast("d")
            self._local.keep = call  # the arrays behind the views
            self._local.slot = run, binding, buffer, raw
            return run, binding, buffer, raw

        return compile_row(
            self._coders, dtype, self._local, new_slot, onnxruntime.RunOptions(), self._ending.finish(width)
        )

    def _width(self) -> int:
        """How many raw sums a row has, where an ending follows the graph."""
        width = self.graph_outputs[0].shape[1]
        assert width is not None
        return width

    def _blank(self, rows: int) -> Arrays:
        made: Arrays = {}
        for spec in self.schema.inputs:
            shape = (rows, *(1 if size is None else size for size in spec.shape[1:]))
            made[spec.name] = np.zeros(shape, object if spec.dtype == "str" else spec.dtype)
        return made

    def _run(self, feeds: Arrays) -> Arrays:
        session, names = self.session, [spec.name for spec in self.graph_outputs]
        try:
            return dict(zip(names, session.run(names, feeds), strict=True))
        except ERRORS as error:
            raise failed(error) from error

    def _answer(self, feeds: Arrays, rows: int) -> Arrays:
        """Outputs for filled tensors of a table, by the session and the ending."""
        outputs = self._run_in_order(feeds, rows)
        if self._finish_table is None:
            return outputs
        raw = outputs["raw"]
        if raw.shape[1:] != self.graph_outputs[0].shape[1:]:
            raise _not_by_row("raw", raw, rows)
        return self._finish_table(raw)

    def _run_in_order(self, feeds: Arrays, rows: int) -> Arrays:
        """The graph's outputs by row, computed in the order that the variant asks for."""
        if not self._variant.order or rows < WORTH_SORTING:
            return _by_row(self._run(feeds), rows)
        ((name, x),) = feeds.items()
        order = order_of(x, self._variant.order)
        outputs = _by_row(self._run({name: x[order]}), rows)
        for name, array in outputs.items():
            outputs[name] = np.empty_like(array)
            outputs[name][order] = array
        return outputs

    def _no_rows(self) -> Arrays:
        """Empty outputs as declared: not every operator takes a tensor of nothing."""
        return {
            spec.name: np.empty(
                (0, *(size or 0 for size in spec.shape[1:])), object if spec.dtype == "str" else spec.dtype
            )
            for spec in self.schema.outputs
        }

    def _whole(self, table: Table) -> Arrays:
        feeds = self._blank(table.rows)
        table.fill(0, table.rows, feeds)
        return self._answer(feeds, table.rows)

    def _blocks(self, table: Table) -> Arrays:
        """Blocks of rows, several at once: the graph runs on one thread, so no sum depends on how many there are."""
        outputs: Arrays = {}
        lock = allocate_lock()

        def place(start: int, stop: int, part: Arrays) -> None:
            with lock:  # the first block says what an output's rows look like
                if not outputs:
                    outputs.update({name: np.empty((table.rows, *a.shape[1:]), a.dtype) for name, a in part.items()})
            for name, array in part.items():
                outputs[name][start:stop] = array

        block = min(SORTED_BLOCK if self._variant.order else BLOCK, max(128, -(-table.rows // self._threads)))

        def worker() -> Callable[[int, int], None]:
            feeds = self._blank(min(block, table.rows))

            def answer(start: int, stop: int) -> None:
                part = {name: array[: stop - start] for name, array in feeds.items()}
                table.fill(start, stop, part)
                place(start, stop, self._answer(part, stop - start))

            return answer

        parallel.each_block(table.rows, block, self._threads, worker)
        return outputs

    def _replay(self, samples: list[Sample]) -> VerificationReport:
        tolerance = self._variant.tolerance or (self.manifest.certificate.tolerance if self.manifest else {})
        try:
            pairs = self._answered_rows(samples) if self.schema.columns else self._answered_samples(samples)
        except InputError as error:
            raise IntegrityError(f"the golden rows do not fit the schema: {error}") from error
        return golden.report(pairs, tolerance, rows=len(samples))

    def _answered_rows(self, samples: list[Sample]) -> list[Answered]:
        pairs: list[Answered] = []
        together = self.predict([sample.inputs for sample in samples]) if samples else {}
        for i, sample in enumerate(samples):
            pairs.append((f"golden row {i}", self.predict_one(sample.inputs), sample.outputs))
            pairs.append((f"golden row {i} in a table", _row(together, i), sample.outputs))
        return pairs

    def _answered_samples(self, samples: list[Sample]) -> list[Answered]:
        pairs: list[Answered] = []
        for i, sample in enumerate(samples):
            what = f"golden sample {i}"
            pairs.append((what, golden.kept_of(self.run(sample.inputs), sample, what), sample.outputs))
        return pairs


def _fits(found: TensorSpec, declared: TensorSpec) -> bool:
    """Whether the graph's tensor may be the declared one; a size that the graph leaves open is the schema's to say."""
    if found.dtype != declared.dtype or len(found.shape) != len(declared.shape):
        return False
    return all(a is None or a == b for a, b in zip(found.shape, declared.shape, strict=True))


def _as_one_row(value: Any) -> Any:
    """``value`` with a row axis before its own. What has no dtype stays a list, to be read as the graph's."""
    if isinstance(value, np.ndarray):
        return value[None]
    return np.asarray(value)[None] if hasattr(value, "dtype") or hasattr(value, "__array__") else [value]


def _by_row(outputs: Arrays, rows: int) -> Arrays:
    """``outputs`` themselves. Raises UnsupportedModelError unless each has one answer for each row."""
    for name, array in outputs.items():
        if array.shape[:1] != (rows,):
            raise _not_by_row(name, array, rows)
    return outputs


def _not_by_row(name: str, array: NDArray[Any], rows: int) -> UnsupportedModelError:
    what = f"the graph's output {name!r} has the shape {list(array.shape)} for {rows} row{'s' * (rows != 1)}"
    return UnsupportedModelError(what, advice="use run, which gives the graph's tensors as they are")


def _row(outputs: Arrays, i: int) -> dict[str, Any]:
    return {name: array[i].tolist() if hasattr(array[i], "tolist") else array[i] for name, array in outputs.items()}


_ALIVE: weakref.WeakSet[Model] = weakref.WeakSet()


def _after_fork() -> None:
    """A session does not survive a fork: its threads are not there. The child opens its own when it first asks.

    The parent's stays in memory, since freeing it would wait for those threads for ever: an array that holds itself is
    never freed (the garbage collector does not look into arrays), not even when the child ends.
    """
    for model in _ALIVE:
        left = np.empty(3, object)
        left[0], left[1], left[2] = left, model._session, dict(model._local.__dict__)
        model._session = None
        model._lock = allocate_lock()
        model._local.__dict__.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
