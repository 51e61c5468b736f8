"""The node raxels_views."""
