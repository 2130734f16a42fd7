"""The parts of the SQLite store, which `sqlite_store` opens."""
