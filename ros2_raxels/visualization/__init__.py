"""Pictures of trajectories, views and raxels."""
