"""From context frames and a trajectory to predicted views."""
