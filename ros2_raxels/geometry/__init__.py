"""Poses, cameras, raxels, trajectories and covariance: mathematics that everything else stands on."""
