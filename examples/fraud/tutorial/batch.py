"""The job of the tutorials, for comparison: read Parquet, score, write Parquet. `python batch.py MODEL.onnx IN OUT`"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import numpy as np
import onnxruntime as ort
import pandas as pd

model, source, target = sys.argv[1:]
session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
feed, score = session.get_inputs()[0].name, session.get_outputs()[1].name
frame = pd.read_parquet(source)
columns = ["amount", "merchant_id", "hour_of_day", "distance_from_home"]
p = session.run([score], {feed: frame[columns].to_numpy(np.float32)})[0][:, 1]
frame["fraud_score"] = p
frame["is_fraud"] = p > 0.5
frame["score_timestamp"] = datetime.now(UTC)
frame.to_parquet(target)
