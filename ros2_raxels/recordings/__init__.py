"""Frames and calibration from folders, videos, cameras and bags."""
