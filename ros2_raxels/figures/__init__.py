"""The pictures of README and docs, made by the code that they show: ``python -m ros2_raxels.figures docs/images``."""
