"""Faults on purpose: what tools/chaos.py does to a flowgraph, and what must hold afterwards."""
