"""Train a composer on a published dataset, answer its queries and score the answers."""
