"""Accuracy and speed: data sets, metrics, classical peers, reports."""
