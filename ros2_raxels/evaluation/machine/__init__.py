"""Time, memory and arithmetic of the machine and the engines."""
