"""Speed, each case against its rival in the same run: `make bench`."""
