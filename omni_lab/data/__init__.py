"""Training batches, their data loader, and the data sources behind them."""
