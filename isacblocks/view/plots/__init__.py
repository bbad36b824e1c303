"""The pictures of the live view, one a module. Each has ``figures`` to be laid out and ``update(feed)`` to be called."""
