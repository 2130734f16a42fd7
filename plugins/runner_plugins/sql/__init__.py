"""What the SQL backends share: the schema, and each operation once, in SQL that both speak."""
