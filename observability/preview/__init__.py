"""The dashboard as a picture, drawn without a Grafana from what a real Prometheus answers."""
