"""The handler of the tutorials, for comparison: a typed request, one `session.run`, a typed answer.

EDGE_EXAMPLE_ONNX names the graph.
"""

from __future__ import annotations

import os

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI
from pydantic import BaseModel

options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(os.environ["EDGE_EXAMPLE_ONNX"], options, providers=["CPUExecutionProvider"])
feed, score = session.get_inputs()[0].name, session.get_outputs()[1].name
app = FastAPI()


class Transaction(BaseModel):
    amount: float
    merchant_id: int
    hour_of_day: int
    distance_from_home: float


class Prediction(BaseModel):
    fraud_score: float
    is_fraud: bool
    model_version: str


def answer(given: Transaction) -> Prediction:
    row = np.array([[given.amount, given.merchant_id, given.hour_of_day, given.distance_from_home]], np.float32)
    p = float(session.run([score], {feed: row})[0][0][1])
    return Prediction(fraud_score=p, is_fraud=p > 0.5, model_version="1")


@app.post("/predict")
def predict(given: Transaction) -> Prediction:
    return answer(given)


@app.post("/predict_async")
async def predict_async(given: Transaction) -> Prediction:
    return answer(given)
