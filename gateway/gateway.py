"""One gateway process's worth of Kafka broker: listening socket, connections, routes and channels to the leaders."""
