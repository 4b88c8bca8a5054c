"""Photo and question in, two streamed answers out: the chain, the models and the page."""
