"""The SQLite file: schema, the one writer, read connections, named queries. Rows go in and out, no rules."""
