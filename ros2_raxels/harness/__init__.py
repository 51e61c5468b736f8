"""Recordings played through real nodes, and what the nodes answer."""
