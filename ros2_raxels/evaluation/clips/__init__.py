"""Accuracy of the cameras of recorded clips, with classical peers."""
