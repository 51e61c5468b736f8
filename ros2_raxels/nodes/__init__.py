"""ROS 2 nodes: they convert messages and own parameters, TF and diagnostics; everything else is in the library."""
