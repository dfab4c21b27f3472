"""The PredictiveAutoscaler: what an admin writes, the CRD made from it, and the policy that it asks for."""
