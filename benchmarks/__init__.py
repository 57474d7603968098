"""Side-by-side runs of this project and its peers; see README.md."""
