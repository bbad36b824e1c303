"""GNU Radio by its ZeroMQ blocks, both ways; see docs/frontends.md."""
