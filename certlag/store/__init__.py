"""What is known now: objects as they were last told, with the indexes that lead from one to the other. Pure."""
