"""What turns this tree into what users install: image, chart, archives, and what says what they are made of."""
