"""State machines of the coordinators, without I/O: consumer groups and their committed offsets (the classic protocol)."""
