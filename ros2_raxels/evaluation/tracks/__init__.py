"""Accuracy and speed of the tracker on recordings."""
