"""Correspondences between the frames of a clip."""
