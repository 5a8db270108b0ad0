"""`make soak`: an exporter at size on a real API server for an hour of faults by chance; at the end it must be right.

Linux: it looks at the process through /proc and takes descriptors away from it by prlimit(2).
"""
