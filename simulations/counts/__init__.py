"""The count-level model: demand as counts a bin, replicas that are all alike, the policies' own decide in the loop.

What it leaves out of the simulator is single requests and single servers: a week of a 60-replica fleet takes about as
long as its decisions do. How far it is off is measured, policy by policy, by `leadtime frontier --check`.
"""
