"""Errors: the tree at the top of the module is the tree, and each error says where and what would be right."""

from __future__ import annotations

import copy
import pickle
import re

import pytest

from edge_runtime import errors
from edge_runtime.errors import (
    BudgetError,
    BundleError,
    EdgeError,
    FormatVersionError,
    InputError,
    IntegrityError,
    MissingExtraError,
    ParityError,
    UnsupportedModelError,
    extra,
)

ONE_OF_EACH = [
    EdgeError("e"),
    BundleError("b"),
    IntegrityError("i"),
    FormatVersionError(7, supported="1"),
    InputError("got str 'x'", expected="a number", column="amount", row=3),
    UnsupportedModelError("a lambda", advice="use a named transformer"),
    ParityError("1 label differs", rows="row 3: 0 1"),
    BudgetError("no candidate"),
    MissingExtraError("edge_runtime.server.create_app", extra="server", missing="fastapi"),
]
BUILT_IN = {
    BundleError: ValueError,
    InputError: ValueError,
    UnsupportedModelError: TypeError,
    MissingExtraError: ImportError,
}


def test_the_picture_is_the_tree() -> None:
    """The header draws every class below its base, and no other."""
    assert errors.__doc__ is not None
    drawn, branch = {}, {}
    for line in errors.__doc__.splitlines():
        if found := re.match(r"^([ │├└─]*)([A-Z]\w+Error)\b", line):
            depth = len(found[1])
            branch[depth] = found[2]
            drawn[found[2]] = branch[max((d for d in branch if d < depth), default=depth)]
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EdgeError)]
    bases = {kind.__name__: kind.__bases__[0].__name__ for kind in classes}
    assert drawn == {**bases, "EdgeError": "EdgeError"}
    assert {type(error) for error in ONE_OF_EACH} == set(classes)


@pytest.mark.parametrize("error", ONE_OF_EACH, ids=lambda error: type(error).__name__)
def test_a_caller_may_expect_the_builtin(error: EdgeError) -> None:
    """Code that knows only Python's errors catches the right ones."""
    wanted = next((builtin for kind, builtin in BUILT_IN.items() if isinstance(error, kind)), Exception)
    assert isinstance(error, wanted)


@pytest.mark.parametrize("error", ONE_OF_EACH, ids=lambda error: type(error).__name__)
def test_errors_pass_from_process_to_process(error: EdgeError) -> None:
    """Pickled by a pool of workers or copied, an error keeps its message and its fields."""
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error)
        assert (str(again), vars(again)) == (str(error), vars(error))


@pytest.mark.parametrize(
    ("column", "row", "says"),
    [
        ("amount", 3, "got str (column 'amount', row 3); expected a number"),
        ("amount", None, "got str (column 'amount'); expected a number"),
        (None, 0, "got str (row 0); expected a number"),
        (None, None, "got str; expected a number"),
        ("a\nb", None, "got str (column 'a\\nb'); expected a number"),
    ],
)
def test_an_input_error_names_what_applies(column: str | None, row: int | None, says: str) -> None:
    """Column and row where there are any, escaped, and what would be right."""
    error = InputError("got str", expected="a number", column=column, row=row)
    assert str(error) == says
    assert (error.problem, error.expected, error.column, error.row) == ("got str", "a number", column, row)


def test_messages_say_what_would_be_right() -> None:
    """Each error with fields builds its one message of them."""
    texts = {type(error).__name__: str(error) for error in ONE_OF_EACH}
    assert texts["FormatVersionError"] == "bundle format 7 is not supported; expected 1"
    assert texts["UnsupportedModelError"] == "a lambda; use a named transformer"
    assert texts["ParityError"] == "1 label differs; nothing was written\nrow 3: 0 1"
    assert str(ParityError("1 label differs", rows="")) == "1 label differs; nothing was written"
    assert texts["MissingExtraError"] == (
        "edge_runtime.server.create_app needs fastapi, which is not installed: pip install 'edge-runtime[server]'"
    )


def test_a_missing_module_names_the_command_that_installs_it() -> None:
    """The error of the import becomes ours, with the module that is really missing."""
    with pytest.raises(MissingExtraError) as caught, extra("server", used_by="create_app"):
        import no_such_module_anywhere  # type: ignore[import-not-found]  # noqa: F401
    assert (caught.value.used_by, caught.value.extra, caught.value.missing) == (
        "create_app", "server", "no_such_module_anywhere",
    )  # fmt: skip
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_other_errors_of_an_import_stay_what_they_are() -> None:
    """A module that is there and broken is not said to be missing."""
    with pytest.raises(ImportError) as caught, extra("server", used_by="create_app"):
        from json import no_such_name  # type: ignore[attr-defined]  # noqa: F401
    assert not isinstance(caught.value, MissingExtraError)
    with extra("server", used_by="create_app"):
        import json  # noqa: F401
