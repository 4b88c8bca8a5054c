"""On stage: the page for a hall, runs that were recorded, decks."""
