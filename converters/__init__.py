"""From a trained model to a bundle that answers alike: `convert`.

Needs the extra `convert`.
Belongs here: the public names. Imported as edge_runtime.converters.
"""

from typing import TYPE_CHECKING, Any

from edge_runtime.ending import Decision
from edge_runtime.errors import extra

if TYPE_CHECKING:
    from .conversion import Candidate, Conversion, Image, Report, convert

__all__ = ["Candidate", "Conversion", "Decision", "Image", "Report", "convert"]


def __getattr__(name: str) -> Any:
    """The converter, loaded when it is first named: `edge --help` passes here, and pandas, onnx, scikit-learn wait."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with extra("convert", used_by=f"edge_runtime.converters.{name}"):
        from . import conversion
    return getattr(conversion, name)
