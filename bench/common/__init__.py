"""What several of the bench scripts need."""
