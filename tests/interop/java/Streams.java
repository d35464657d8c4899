import java.nio.file.Files;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CompletableFuture;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.InvalidStateStoreException;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.Stores;

/** Counts words with Kafka Streams (at least once): makes a repartition and a changelog topic, and purges what it has repartitioned. */
class Streams {
    private static final String APP = "java-streams";

    static void countWords(String bootstrap) throws Exception {
        try (var admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(new NewTopic("lines", 3, (short) 1), new NewTopic("counts", 2, (short) 1))).all().get();
            try (var producer = new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap), new StringSerializer(), new StringSerializer())) {
                for (int i = 0; i < 3000; i++) producer.send(new ProducerRecord<>("lines", null, "the quick fox number " + i % 100));
            }
            // The second instance begins with an empty store, and has it back from the changelog.
            run(bootstrap, admin, true);
            run(bootstrap, admin, false);
        }
    }

    private static void run(String bootstrap, Admin admin, boolean isPurging) throws Exception {
        var failure = new CompletableFuture<Throwable>();
        var config = new Properties();
        config.putAll(Map.of(
            "application.id", APP, "bootstrap.servers", bootstrap, "num.stream.threads", "2",
            "state.dir", Files.createTempDirectory(APP).toString(), "commit.interval.ms", "500", "repartition.purge.interval.ms", "500"));
        var streams = new KafkaStreams(topology(), config);
        try {
            streams.setUncaughtExceptionHandler(error -> {
                failure.complete(error);
                return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
            });
            streams.start();
            long deadline = System.nanoTime() + 60_000_000_000L;
            while (!isCounted(streams) || isPurging && start(admin) == 0) {
                if (failure.isDone()) throw new AssertionError(failure.get());
                if (System.nanoTime() > deadline) throw new AssertionError("not counted and purged in a minute: " + streams.state());
                Thread.sleep(100);
            }
        } finally {
            streams.close(new KafkaStreams.CloseOptions().leaveGroup(true));
        }
    }

    private static org.apache.kafka.streams.Topology topology() {
        var builder = new StreamsBuilder();
        builder.stream("lines", Consumed.with(Serdes.String(), Serdes.String()))
            .flatMapValues(line -> List.of(line.split(" ")))
            .groupBy((key, word) -> word, Grouped.with("words", Serdes.String(), Serdes.String()))
            .count(Materialized.<String, Long>as(Stores.inMemoryKeyValueStore("counts")).withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()))
            .toStream()
            .to("counts", Produced.with(Serdes.String(), Serdes.Long()));
        return builder.build();
    }

    private static boolean isCounted(KafkaStreams streams) {
        try {
            var store = streams.store(StoreQueryParameters.fromNameAndType("counts", QueryableStoreTypes.<String, Long>keyValueStore()));
            return Long.valueOf(3000).equals(store.get("the")) && Long.valueOf(30).equals(store.get("42"));
        } catch (InvalidStateStoreException notYet) {
            return false;
        }
    }

    private static long start(Admin admin) throws Exception {
        var repartition = new TopicPartition(APP + "-words-repartition", 0);
        return admin.listOffsets(Map.of(repartition, OffsetSpec.earliest())).partitionResult(repartition).get().offset();
    }
}
