"""Exact lowering: tree ensembles and linear maps onto the app's own columns, and the proof.

Belongs here: mathematics of models, whoever trained them. Not here: reading a framework's model (sources/), comparing
answers (parity.py).
Imported as edge_runtime.converters.exact.
"""
