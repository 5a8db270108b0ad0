"""From facts to a plan: preconditions, permissions, other controllers, and the writes as dry runs. Changes nothing."""
