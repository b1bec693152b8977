"""Train a composer on a published dataset, answer its queries and score the answers.

`params.Experiment` declares dataset, model and training. `answering.answer_query_sets` encodes
images and queries and ranks the galleries; ties count against us. `scoring.results` gives the
figures of the dataset's own protocol, which stands beside them.
"""
