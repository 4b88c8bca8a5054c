"""What ``training.evaluate`` is made of: sets of questions, sides that answer, figures, tables."""
