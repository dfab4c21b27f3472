"""Values of rules from the samples of pages: newest, rate, ratio, quantile, share, total."""
