"""Judging a calibration that runs: figures against the truth, pictures, reports. Only simulations have a truth."""
