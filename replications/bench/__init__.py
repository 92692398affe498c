"""What the replications share: the text they run on, a small head over frozen vectors, judges, intervals, verdicts."""
