"""A stand-in for Qdrant's HTTP server, for machines that cannot pull its image: Qdrant's own shard engine
(qdrant-edge) behind the part of the 1.7 HTTP contract that is used. It says what it is at `GET /`, and answers
501 to everything else. No clustering, no gRPC, no index tuning, no TLS.
"""

NAME = "qdrant - stand-in (qdrant-edge)"
# The contract that is served, in a form that clients which compare versions can read.
VERSION = "1.7.4-standin"
