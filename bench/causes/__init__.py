"""What truth_causes.py plants, how it judges what is said, and what a remedy brings."""
