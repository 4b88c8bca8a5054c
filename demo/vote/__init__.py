"""Voting: two answers without names, which one is better, which one is right; and how often each side has won."""
