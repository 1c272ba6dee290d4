"""The only modules that import an SDK or know a program's command line: engine, buildx, cluster, S3."""
