"""Readers of trained models, one file per framework: `accepts(model) -> bool` and `read(model, request) -> Source`.

Found by the entry-point group `edge_runtime.sources`; a new framework is a new file here and one line in setup.cfg.
Imported as edge_runtime.converters.sources.
"""
