"""Export a folder that encodes queries and galleries by itself, in the contest's form.

`export.export(encoder, tagger, folder, batch_size)` writes the folder and tries it before it
appears. `folder/` holds its scripts. `sources` copies the modules that the scripts import, under
another package name, so that there is no second version of the code. `assembly` puts all weights
into one file and builds the retriever from it.
"""
