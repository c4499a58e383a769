"""From raw samples to answers: statistics, comparison, breakdown of calls, roofline, findings."""
