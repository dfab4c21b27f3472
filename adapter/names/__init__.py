"""From the names and selectors in HPAs to rules and series: ours, Prometheus' and the Stackdriver adapter's."""
