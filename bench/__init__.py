"""Benchmarks: ``python -m bench`` (``make bench``), and with ``--kafka`` beside Apache Kafka (``make bench-kafka``)."""
