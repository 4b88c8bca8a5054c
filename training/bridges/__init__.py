"""Other harnesses measure our models: what they are handed is the answer alone, the chain is kept."""
