"""The engine: stages, the loop that runs them, the ledger and the executors."""
