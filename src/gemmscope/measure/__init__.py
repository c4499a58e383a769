"""From settings to samples: workers, their messages, and the rounds in which they take turns."""
