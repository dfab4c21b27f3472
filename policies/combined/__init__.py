"""What a PredictiveAutoscaler decides: the predictive rule, plain HPA metrics, schedules as floors, and a fallback."""
