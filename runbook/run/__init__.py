"""The run: the engine and its phases as pure generators of effects, and the driver that performs them."""
