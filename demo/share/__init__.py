"""Sharing: links that hold a whole state, photos kept by consent, a run as a picture card."""
