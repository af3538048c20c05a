"""Retrieval: does one paper of the ACL Anthology Network cite the other, from the bytes of both?

Law of the pairs we draw: `docs/retrieval_draws.md`.
"""
