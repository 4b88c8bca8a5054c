"""People check what models said about degraded pictures; their verdicts become figures and training samples."""
