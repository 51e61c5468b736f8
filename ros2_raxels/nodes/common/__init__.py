"""What both nodes are made of."""
