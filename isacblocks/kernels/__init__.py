"""Pure compiled functions on arrays. They know the radar's parameters, and nothing of blocks, streams or files."""
