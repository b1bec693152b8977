"""Serve a trained retriever: an HTTP API and a page that search a folder of images.

Contract: `serving.serve(...)` loads the model, indexes the images and answers until a signal comes;
`indexing.index(source, model, store)` makes a store contain exactly the images of a source; and
`application.create_app(service)` builds the ASGI app. Nothing in this package trains a model.
"""
