"""The tab Compare: one photo, one question, two answers."""
