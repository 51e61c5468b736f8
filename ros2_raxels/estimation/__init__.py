"""From a clip's correspondences to its cameras."""
