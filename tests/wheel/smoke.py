"""Load a bundle and predict, where nothing but the wheel, numpy and onnxruntime is installed.

python smoke.py FOLDER            (the folder that make_bundle.py filled)
"""

from __future__ import annotations

import sys

import numpy
import onnxruntime

HEAVY = {"click", "hashlib", "importlib.metadata", "onnx", "pandas", "pathlib", "pickle", "tempfile", "zipfile"}


def main(folder: str) -> None:
    """Compare every row with the source's answer, and say what was done."""
    before = set(sys.modules)
    import edge_runtime

    model = edge_runtime.load(f"{folder}/small.edge")
    first = model.predict_one({"amount": 8500.0, "hour": 3, "country": "CH"})
    heavy = (set(sys.modules) - before) & HEAVY
    assert not heavy, f"load and predict_one brought in {sorted(heavy)}"
    assert set(first) == {"label", "probabilities"}, first

    import json

    with open(f"{folder}/answers.json", encoding="utf-8") as file:
        answers = json.load(file)
    largest = 0.0
    for row, label, probabilities in zip(answers["rows"], answers["labels"], answers["probabilities"], strict=True):
        answer = model.predict_one(row)
        assert answer["label"] == label, f"{row}: {answer}, the source says {label}"
        largest = max(largest, *(abs(a - b) for a, b in zip(answer["probabilities"], probabilities, strict=True)))
    assert largest <= 1e-12, f"a probability is {largest} away from the source's"
    assert model.verify().ok
    versions = f"numpy {numpy.__version__}, onnxruntime {onnxruntime.__version__}"
    print(f"{model.name} {model.version}: {len(answers['rows'])} rows as the source, |Δp| ≤ {largest:.0e} ({versions})")


if __name__ == "__main__":
    main(sys.argv[1])
