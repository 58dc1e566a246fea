"""Train anywhere, ship one verified file, get the same numbers on the device.

    import edge_runtime as er
    model = er.load("fraud.edge")
    model.predict_one({"amount": 8500.0, "merchant_id": 443})

Belongs here: the public names, and nothing else. Converters, benchmarks and the other parts load only when they are
named.
Imported as edge_runtime.
"""

import os

# onnxruntime's wheels start a telemetry thread and write to the home folder unless told not to before they load.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from .bundle import Bundle
from .ending import Decision
from .errors import (
    BudgetError,
    BundleError,
    EdgeError,
    FormatVersionError,
    InputError,
    IntegrityError,
    MissingExtraError,
    ParityError,
    UnsupportedModelError,
    VariantWarning,
)
from .golden import VerificationReport
from .manifest import Manifest, Variant
from .model import Model, load
from .schema import ColumnSpec, Schema, TensorSpec
from .version import VERSION as __version__

__all__ = [
    "BudgetError",
    "Bundle",
    "BundleError",
    "ColumnSpec",
    "Decision",
    "EdgeError",
    "FormatVersionError",
    "InputError",
    "IntegrityError",
    "Manifest",
    "MissingExtraError",
    "Model",
    "ParityError",
    "Schema",
    "TensorSpec",
    "UnsupportedModelError",
    "Variant",
    "VariantWarning",
    "VerificationReport",
    "__version__",
    "load",
]
