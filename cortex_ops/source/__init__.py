"""The monorepo as it is on disk: its revision, what of it enters a build, and fingerprints of that."""
