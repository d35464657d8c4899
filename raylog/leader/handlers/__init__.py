"""One module per Kafka API that a leader answers on its internal listener; each registers itself (``raylog.leader.registry``)."""
