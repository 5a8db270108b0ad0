"""Plans, events and answers as JSON lines, and the schema of these. Pure but for writing a line."""
