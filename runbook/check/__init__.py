"""What a target presents now, how it is reached, and what to do about it. Changes nothing."""
