"""What runs inside the contenders' own processes."""
