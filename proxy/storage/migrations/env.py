"""Where Alembic starts: the steps run on the connection, and inside the transaction, of whoever opens the store."""

from alembic import context

from proxy.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
