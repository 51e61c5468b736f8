"""Procedural worlds, cameras that move like robots, and the renderer that looks at one from the other."""
