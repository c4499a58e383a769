"""Records on disk: the journal of a run that goes on, and the results file of one that is done."""
