"""The steps from an empty or an older store to tables.py, run by Alembic when a store is opened."""

HEAD = "0001"
"""The newest step: a store that has it needs none."""
