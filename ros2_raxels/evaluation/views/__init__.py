"""Quality of predicted views."""
