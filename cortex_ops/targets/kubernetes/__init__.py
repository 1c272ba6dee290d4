"""Releases in one namespace of a cluster: server-side apply in waves, watched until it is done or doomed.

What judges documents is pure (`objects`, `kinds`, `pods`, `causes`, `events`, `compare`, `ownership`, `waves`,
`diff`, `prune`): it takes plain dictionaries as the API server's JSON gives them and knows no client.
"""
