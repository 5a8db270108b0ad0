"""What makes a run safe beside others: lock, fence and record, which every write goes through."""
