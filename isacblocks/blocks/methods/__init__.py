"""How KappaCalibrator learns: one method a file, all that it remembers in arrays that a checkpoint can keep."""
