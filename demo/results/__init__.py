"""The tab Results: folders that ``training.evaluate`` wrote."""
