"""`leadtime init`: a PredictiveAutoscaler made from the autoscaler that there is."""
