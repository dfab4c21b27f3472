"""Node pools: what is seen of them, who shares them, what they are told and by which provider, and the loop around it.

What a pool should hold is decided in policies/nodepools.
"""
