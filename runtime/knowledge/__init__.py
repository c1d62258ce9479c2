"""What an agent may look up: documents read, cut into chunks, kept in Postgres, and found by words and meaning."""
