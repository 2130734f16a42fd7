"""`runner work`: one process, one writer thread, a keeper for each slot."""
