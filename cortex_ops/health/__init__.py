"""Is it healthy, as deployed, from outside? And is everything here that the pipeline needs?"""
