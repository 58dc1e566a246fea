"""What can be measured: a bundle, one of its variants, an .onnx file, a Model, a callable, a URL.

Belongs here: turning each of them into one call that rotates its rows, and knows which answers are right. Not here: the
rows (inputs.py), HTTP (web.py), timing (scenarios.py).
Imported as edge_runtime.benchmarks.opening.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, runtime_checkable

import onnxruntime

import edge_runtime
from edge_runtime import golden
from edge_runtime.bundle import Bundle, read_file
from edge_runtime.errors import InputError
from edge_runtime.graph_scan import scan
from edge_runtime.parallel import usable_cores
from edge_runtime.session import ERRORS, reason
from edge_runtime.timing import rotate

from .inputs import Inputs, batches_of, checker, inputs_of, tensors_of, tolerance_of
from .settings import Settings
from .target import Target
from .web import is_url, of_url

__all__ = [
    "Answers", "Measurable", "file_target", "graph_of", "is_function", "open_target", "own_session", "path_and_variant",
]  # fmt: skip

FUNCTION = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")
OWN_SESSION_AGREES = 1e-3  # two ways to optimise one float32 graph differ by less; another answer differs by more


@runtime_checkable
class Answers(Protocol):
    """An edge_runtime.Model, as far as a type checker needs to know one here."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    def predict_one(self, row: Any, /) -> Any: ...


Measurable = Target | Answers | str | os.PathLike[str] | Callable[[], object]


def open_target(target: Measurable, settings: Settings | None = None, inputs: str | None = None) -> Target:
    """The calls behind ``target``: a Model, a callable without arguments, or text that names a file ("fraud.edge"), a
    variant of a bundle ("fraud.edge#int8"), a function ("module:function") or a URL that takes a row as JSON.

    ``inputs`` is a file of rows to ask with instead of the golden ones (a URL needs one; a bundle will do).
    Raises what `edge_runtime.load` raises, InputError for a target that has no rows and whose inputs cannot be made up,
    and for settings or inputs where it takes none; TypeError for anything else that is not callable.
    """
    settings = settings if settings is not None else Settings()
    if isinstance(target, str | os.PathLike):
        return of_text(os.fspath(target), settings, inputs)
    plain = settings == Settings() and inputs is None
    if isinstance(target, Target):
        return target
    if isinstance(target, Answers):
        model: Any = target
        if settings.own_session or settings.threads is not None:
            raise InputError("a Model has its session already", expected="its path, where settings are given")
        return of_model(model, " ".join(filter(None, [model.name, model.version])), inputs)
    if not callable(target):
        raise TypeError(f"cannot measure a {type(target).__name__}; expected a Model, a path, a URL or a callable")
    if not plain:
        raise InputError("a callable takes neither settings nor rows", expected="a bundle or an .onnx file")
    return of_callable(target, getattr(target, "__qualname__", type(target).__name__))


def of_text(text: str, settings: Settings, inputs: str | None) -> Target:
    if is_url(text):
        return of_url(text, inputs)
    if is_function(text):
        if settings != Settings() or inputs is not None:
            raise InputError(f"{text}: a function takes neither settings nor rows", expected="a bundle or .onnx file")
        return of_callable(function_of(text), text)
    path, variant = path_and_variant(text)
    name = os.path.basename(text)
    model = edge_runtime.load(path, threads=settings.threads, variant=variant)
    if settings.own_session:
        return of_own_session(model, path, variant, name, settings, inputs)
    return of_model(model, name, inputs)


def is_function(text: str) -> bool:
    """Whether ``text`` names a function, "module:function"."""
    return FUNCTION.fullmatch(text) is not None and not os.path.exists(text)


def path_and_variant(text: str) -> tuple[str, str | None]:
    """A bundle's path, and which of its variants is meant: "fraud.edge#int8"."""
    path, mark, variant = text.rpartition("#")
    return (path, variant) if mark and not os.path.exists(text) else (text, None)


def file_target(target: str, settings: Settings, inputs: str | None) -> dict[str, Any]:
    """What another process needs to know to load ``target``, a file, which is opened here once, so that mistakes are
    told now. Raises InputError for another target and for settings other than threads, and what `open_target` raises.
    """
    if is_url(target) or is_function(target):
        raise InputError(f"{target} is not loaded from a file", expected="a bundle or an .onnx file")
    if settings.own_session:
        raise InputError(f"settings are {settings.words()}", expected="threads only, in this measurement")
    open_target(target, settings, inputs)
    path, variant = path_and_variant(target)
    return {"path": path, "variant": variant, "threads": settings.threads, "inputs": inputs}


def of_callable(function: Callable[[], object], name: str) -> Target:
    return Target(name=name, new_call=lambda: function)


def function_of(text: str) -> Callable[[], object]:
    """The function that "module:function" names; modules of the current folder are found last."""
    module, _, name = text.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ModuleNotFoundError, AttributeError) as error:
        raise InputError(f"{text}: {error}", expected="module:function") from error
    if not callable(found):
        raise InputError(f"{text} is {type(found).__name__}", expected="a function without arguments")
    return found  # type: ignore[no-any-return]


def of_model(model: Any, name: str, inputs: str | None) -> Target:
    """A model is asked row by row, `predict_one` where it has columns and `run` otherwise."""
    asked = inputs_of(model, inputs)
    by_row = bool(model.schema.columns) and asked.rows
    ask = model.predict_one if by_row else model.run
    return Target(
        name=name,
        new_call=partial(rotate, ask, asked.items),
        work=f"{'predict_one' if by_row else 'run'}, {asked.words} in turn",
        threads=model.session.get_session_options().intra_op_num_threads,
        rotation=len(asked.items),
        check=checker(model, asked.wanted) if asked.wanted else None,
        verify=(lambda: bool(model.verify().ok)) if model.golden_rows() else None,
        batch=partial(of_batches, model, name, asked),
    )


def of_batches(model: Any, name: str, asked: Inputs, rows: int) -> Target:
    """The same model, asked for ``rows`` rows at once."""
    by_row = bool(model.schema.columns) and asked.rows
    items, wanted = batches_of(model, asked, rows)
    several = f"{len(items)} batches of {rows:,} rows from {asked.words}"
    return Target(
        name=name,
        new_call=partial(rotate, model.predict if by_row else model.run, items),
        work=f"{'predict' if by_row else 'run'}, {several} in turn",
        # Blocks of rows are answered on several cores, whatever the session has.
        threads=getattr(model, "_threads", None) or usable_cores(),
        rotation=len(items),
        check=checker(model, wanted) if wanted else None,
        verify=(lambda: bool(model.verify().ok)) if model.golden_rows() else None,
    )


def of_own_session(
    model: Any, path: str, variant: str | None, name: str, settings: Settings, inputs: str | None
) -> Target:
    """The graph in a session with these settings, asked with `session.run`; right is what edge-runtime's answers."""
    asked = inputs_of(model, inputs)
    session = own_session(graph_of(path, variant), settings)
    return of_session(session, model, name, settings, asked, tensors_of(model, asked, 1))


def of_session(
    session: Any, model: Any, name: str, settings: Settings, asked: Inputs, feeds: tuple[dict[str, Any], ...]
) -> Target:
    names = [output.name for output in session.get_outputs()]
    right = [model.run(feed) for feed in feeds]
    known = tolerance_of(model.manifest, model.variant) if model.manifest is not None else {}
    allowed = {key: max(OWN_SESSION_AGREES, known.get(key, 0.0)) for key in names}

    def check(i: int, answer: Any) -> bool:
        return all(
            float(golden.differences(mine, right[i][key]).max(initial=0.0)) <= allowed[key]
            for key, mine in zip(names, answer, strict=True)
        )

    def agrees() -> bool:
        return all(check(i, session.run(names, feed)) for i, feed in enumerate(feeds))

    def batch(rows: int) -> Target:
        return of_session(session, model, name, settings, asked, tensors_of(model, asked, rows))

    return Target(
        name=name,
        new_call=partial(rotate, partial(session.run, names), feeds),
        work=f"session.run, {asked.words} as tensors in turn; {settings.words()}",
        threads=session.get_session_options().intra_op_num_threads,
        rotation=len(feeds),
        check=check,
        verify=agrees,
        batch=batch,
    )


def graph_of(path: str, variant: str | None) -> bytes:
    """The graph's bytes, scanned, of a file that `edge_runtime.load` has opened."""
    if path.lower().endswith(".onnx"):
        raw = read_file(path)
    else:
        bundle = Bundle.open(path)
        raw = bundle.read(bundle.manifest.variant(variant).graph)
    scan(raw)
    return raw


def own_session(raw: bytes, settings: Settings, options: Any = None) -> Any:
    """A session for ``raw`` with these settings. Raises InputError if the provider does not take the graph."""
    provider = settings.provider or "CPUExecutionProvider"
    options = options if options is not None else settings.options()
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        session = onnxruntime.InferenceSession(
            raw, options, providers=[provider], enable_fallback=0, read_config_from_model=0
        )
    except ERRORS as error:
        raise InputError(f"{provider} does not take this graph: {reason(error)}", expected="another one") from error
    if session.get_providers()[0] != provider:
        raise InputError(f"{provider} is not ready on this machine", expected=f"one of {session.get_providers()}")
    return session
