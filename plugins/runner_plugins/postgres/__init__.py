"""The parts of the PostgreSQL store, which `postgres_store` opens."""
