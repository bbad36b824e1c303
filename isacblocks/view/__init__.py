"""Ways to watch a flowgraph while it runs."""
