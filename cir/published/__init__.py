"""Run the published datasets of composed image retrieval by their own protocols.

`datasets` reads MIT-States, Fashion200k, FashionIQ, CIRR and CIRCO in their own layouts and draws
one more; `experiment` trains, answers and scores; `servers` says what of a dataset is there, and
writes and checks the files for the test servers of CIRR and CIRCO.
"""
