"""Plain data: what a run leaves behind, the events of a run, and how figures are put into words."""
