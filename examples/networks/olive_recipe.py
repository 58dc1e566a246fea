"""One recipe of Olive, with its default arguments, in Olive's own environment: run by peers.py.

    python olive_recipe.py '{"model": …, "calibration": …, "recipe": "static" or "dynamic", "target": …}'

The passes are those that `olive quantize` and `olive optimize` take for int8 on a CPU; the command line itself takes
calibration data from Hugging Face only.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from olive import run
from olive.data.registry import Registry

PASSES = {"dynamic": "OnnxDynamicQuantization", "static": "OnnxStaticQuantization"}


class Feeds:
    """Feeds [{input: array}] with a label that nobody asks for, as Olive's loaders give them."""

    def __init__(self, path: str) -> None:
        self.feeds: dict[str, dict[str, Any]] = {}
        with np.load(path) as stored:
            for key in stored.files:
                number, _, name = key.partition("/")
                self.feeds.setdefault(number, {})[name] = stored[key]

    def __len__(self) -> int:
        return len(self.feeds)

    def __iter__(self) -> Iterator[tuple[dict[str, Any], None]]:
        return ((feed, None) for feed in self.feeds.values())


@Registry.register_dataset()  # type: ignore[untyped-decorator]
def stored_feeds(path: str, **_: Any) -> Feeds:
    return Feeds(path)


@Registry.register_pre_process()  # type: ignore[untyped-decorator]
@Registry.register_dataloader()  # type: ignore[untyped-decorator]
def as_they_are(feeds: Feeds, **_: Any) -> Feeds:
    return feeds


def main(asked: dict[str, str]) -> None:
    chosen: dict[str, Any] = {"type": PASSES[asked["recipe"]], "precision": "int8"}
    data = {
        "name": "calibration",
        "type": "DataContainer",
        "load_dataset_config": {"type": "stored_feeds", "params": {"path": asked["calibration"]}},
        "pre_process_data_config": {"type": "as_they_are"},
        "dataloader_config": {"type": "as_they_are"},
    }
    if asked["recipe"] == "static":
        chosen["data_config"] = "calibration"
    with tempfile.TemporaryDirectory() as folder:
        made = run(
            {
                "input_model": {"type": "OnnxModel", "model_path": asked["model"]},
                "systems": {
                    "here": {
                        "type": "LocalSystem",
                        "accelerators": [{"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}],
                    }
                },
                "host": "here",
                "target": "here",
                "data_configs": [data],
                "passes": {"quantize": chosen},
                "output_dir": folder,
                "cache_dir": str(Path(folder) / "cache"),
                "log_severity_level": 3,
            }
        )
        best = made.get_best_candidate()
        if best is None:
            raise SystemExit("Olive gives no model")
        shutil.copy(best.model_path, asked["target"])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
