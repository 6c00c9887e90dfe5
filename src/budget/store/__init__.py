"""Files that budget keeps for its user: the ledger of admitted models and the configuration."""
