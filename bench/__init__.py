"""Side-by-side measurements of Flagon and its peers: `make bench`, or one with `python -m bench.<name>`."""
