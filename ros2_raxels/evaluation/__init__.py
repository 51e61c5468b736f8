"""How good the answers are: data sets, metrics, peers, reports."""
