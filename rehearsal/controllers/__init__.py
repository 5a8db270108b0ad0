"""The controllers: each looks at what is stored and writes what is due, one step after the other, without threads."""
