"""What is not about cameras: files, memory, the terminal, command-line values, the ROS environment."""
