"""Search: passages, embedders, postings, stores, rankings, steering, and the index of them all."""
