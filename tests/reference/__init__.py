"""The slow, literal double-precision reference. It imports nothing of the project."""
