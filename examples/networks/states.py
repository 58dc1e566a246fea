"""What a network that is fed its own state does in the long run: a small loss of each step may add up."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from networks import Samples
from numpy.typing import NDArray

__all__ = ["speaking"]


def speaking(session: ort.InferenceSession, samples: Samples) -> NDArray[np.bool_]:
    """Whether silero-vad hears somebody, frame by frame, fed the states that it gives itself. A recording begins where
    the state is zero."""
    found = np.zeros(len(samples["sr"]), np.bool_)
    state = samples["state"][0]
    for i, recorded in enumerate(samples["state"]):
        feed = {"input": samples["input"][i : i + 1], "state": state if recorded.any() else recorded}
        chance, state = session.run(["output", "stateN"], {**feed, "sr": samples["sr"][i, ...]})
        found[i] = chance[0, 0] > 0.5
    return found
