"""From a stream of frames to a trajectory and a map."""
