"""Side-by-side measurements of Flagon and its peers: `make bench`, or one script at a time with `python -m bench.<name>`."""
