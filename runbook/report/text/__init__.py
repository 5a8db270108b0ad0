"""Plans, events and answers as text. Pure."""
