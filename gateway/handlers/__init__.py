"""One module per Kafka API. Each registers its handlers with ``gateway.registry.handles``; all are found by being here."""
