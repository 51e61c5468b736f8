"""Is what a stream of poses says of itself true? A battery of conditions, and scores of covariance and confidence."""
