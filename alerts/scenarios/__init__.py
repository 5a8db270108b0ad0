"""What the alerts must do, minute by minute, in promtool's terms: one module for each alert, one for all of them."""
