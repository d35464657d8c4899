"""Raylog: a diskless Kafka on Ray. The engine as a plain library; it knows nothing of Ray (see ARCHITECTURE.md)."""

__version__ = "0.1.0"
