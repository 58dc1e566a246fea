"""Precisions: the same graph with smaller weights or narrower arithmetic, and what each of them loses.

Belongs here: graphs, feeds and answers. Not here: reading a framework's model (sources/), files.
Imported as edge_runtime.converters.precision.
"""
