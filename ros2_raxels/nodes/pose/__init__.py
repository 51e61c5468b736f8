"""The node raxels_pose."""
