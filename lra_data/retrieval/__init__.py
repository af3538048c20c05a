"""Retrieval: does one paper of the ACL Anthology Network cite the other, from the bytes of both?

`docs/retrieval_draws.md` describes the pairs that are drawn here.
"""
