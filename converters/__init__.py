"""From a trained model to a bundle that answers alike: `convert`.

Needs the extra `convert`.
Belongs here: the public names. Imported as edge_runtime.converters.
"""

from edge_runtime.ending import Decision
from edge_runtime.errors import extra

with extra("convert", used_by="edge_runtime.converters"):
    import onnx  # noqa: F401
    import pandas  # noqa: F401
    import skl2onnx  # noqa: F401
    import sklearn  # noqa: F401

from .convert import Conversion, Report, convert

__all__ = ["Conversion", "Decision", "Report", "convert"]
