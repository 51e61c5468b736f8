"""The manual: pages that are made from the code and from measurements, and the site of ``docs/``.

``python -m ros2_raxels.manual`` writes what is made anew. It needs a checkout, not an installed package.
"""
