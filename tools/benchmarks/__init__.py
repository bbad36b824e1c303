"""What tools/bench.py measures, one subject a file; measure.py says how."""
