import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.serialization.*;

/** What Kafka's own Java clients must be able to do; one scenario a run: {@code java Clients <bootstrap> <scenario>}. */
public class Clients {
    private static String bootstrap;

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        switch (args[1]) {
            case "compressions" -> compressions();
            case "positions" -> positions();
            case "cooperative-group" -> cooperativeGroup();
            case "static-member" -> staticMember();
            case "admin-topics" -> adminTopics();
            case "admin-groups" -> adminGroups();
            case "refusals" -> refusals();
            case "streams" -> Streams.countWords(bootstrap);
            default -> throw new IllegalArgumentException("no scenario " + args[1]);
        }
        System.out.println("passed");
    }

    static void compressions() throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            String topic = "java-codec-" + codec;
            createTopic(topic, 3);
            produce(topic, 5000, Map.of("compression.type", codec, "linger.ms", "5"));
            try (var consumer = consumer(Map.of())) {
                assign(consumer, topic, 3);
                consumer.seekToBeginning(consumer.assignment());
                expectAll(topic, poll(consumer, 5000));
            }
        }
    }

    static void positions() throws Exception {
        String topic = "java-positions";
        createTopic(topic, 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (var producer = producer(Map.of())) {
            for (int i = 0; i < 10; i++) {
                var record = new ProducerRecord<>(topic, 0, 1_700_000_000_000L + 1000 * i, i == 0 ? null : "k", i == 1 ? null : "v" + i);
                record.headers().add(new RecordHeader("h", null));
                RecordMetadata sent = producer.send(record).get();
                check(sent.offset() == i && sent.timestamp() == record.timestamp(), "sent " + sent);
            }
            check(producer.partitionsFor(topic).size() == 1, "partitionsFor");
        }
        try (var consumer = consumer(Map.of("isolation.level", "read_committed"))) {
            check(consumer.partitionsFor(topic).get(0).leader() != null, "partitionsFor");
            check(consumer.listTopics().containsKey(topic), "listTopics");
            check(consumer.endOffsets(List.of(partition)).get(partition) == 10, "endOffsets");
            check(consumer.beginningOffsets(List.of(partition)).get(partition) == 0, "beginningOffsets");
            var found = consumer.offsetsForTimes(Map.of(partition, 1_700_000_003_500L)).get(partition);
            check(found.offset() == 4 && found.timestamp() == 1_700_000_004_000L && found.leaderEpoch().isPresent(), "offsetsForTimes " + found);
            check(consumer.offsetsForTimes(Map.of(partition, 1_800_000_000_000L)).get(partition) == null, "offsetsForTimes after the end");
            consumer.assign(List.of(partition));
            consumer.seek(partition, 7);
            var records = poll(consumer, 3);
            check(records.get(0).offset() == 7 && records.get(0).headers().lastHeader("h").value() == null, "seek " + records);
            check(consumer.currentLag(partition).orElse(-1) == 0, "lag " + consumer.currentLag(partition));
            consumer.seekToBeginning(List.of(partition));
            records = poll(consumer, 10);
            check(records.get(0).key() == null && records.get(1).value() == null, "nulls " + records);
            consumer.seekToEnd(List.of(partition));
            check(consumer.position(partition) == 10, "position");
            consumer.seek(partition, 100); // beyond the end: auto.offset.reset=earliest brings it to the beginning
            check(poll(consumer, 10).get(0).offset() == 0, "reset");
        }
    }

    static void cooperativeGroup() throws Exception {
        String topic = "java-cooperative";
        createTopic(topic, 6);
        produce(topic, 600, Map.of());
        var options = Map.of(
            "group.id", topic, "enable.auto.commit", "false", "group.protocol", "classic",
            "partition.assignment.strategy", CooperativeStickyAssignor.class.getName());
        try (var first = consumer(options); var second = consumer(options)) {
            first.subscribe(List.of(topic));
            expectAll(topic, poll(first, 600));
            first.commitSync(first.assignment().stream().collect(Collectors.toMap(p -> p, p -> new OffsetAndMetadata(first.position(p), Optional.of(0), "note"))));
            Set<TopicPartition> kept = new HashSet<>(first.assignment());
            second.subscribe(List.of(topic));
            long deadline = System.nanoTime() + 60_000_000_000L;
            while (first.assignment().size() != 3 || second.assignment().size() != 3) {
                check(System.nanoTime() < deadline, "no balance: " + first.assignment() + " " + second.assignment());
                check(first.poll(Duration.ofMillis(100)).isEmpty() && second.poll(Duration.ofMillis(100)).isEmpty(), "a committed record came again");
            }
            check(kept.containsAll(first.assignment()), "cooperative");
            Set<TopicPartition> all = new HashSet<>(first.assignment());
            all.addAll(second.assignment());
            check(all.size() == 6, "both own " + all);
            check(second.committed(all).values().stream().allMatch(o -> o.metadata().equals("note")), "metadata");
            second.close();
            while (first.assignment().size() != 6) {
                check(System.nanoTime() < deadline, "not taken back: " + first.assignment());
                first.poll(Duration.ofMillis(100));
            }
            first.enforceRebalance();
            first.poll(Duration.ofMillis(100));
        }
    }

    static void staticMember() throws Exception {
        String topic = "java-static";
        createTopic(topic, 2);
        var options = Map.of("group.id", topic, "group.instance.id", "one");
        int generation;
        try (var consumer = consumer(options)) {
            consumer.subscribe(List.of(topic));
            produce(topic, 20, Map.of());
            expectAll(topic, poll(consumer, 20));
            generation = consumer.groupMetadata().generationId();
        }
        try (var consumer = consumer(options); var fenced = consumer(options)) {
            consumer.subscribe(List.of(topic));
            produce(topic, 20, Map.of());
            expectAll(topic, poll(consumer, 20));
            check(consumer.groupMetadata().generationId() == generation, "generation " + consumer.groupMetadata());
            fenced.subscribe(List.of(topic)); // the same instance once more: the older one is fenced
            try {
                long deadline = System.nanoTime() + 60_000_000_000L;
                while (System.nanoTime() < deadline) {
                    fenced.poll(Duration.ofMillis(100));
                    consumer.poll(Duration.ofMillis(100));
                }
                check(false, "nobody was fenced");
            } catch (FencedInstanceIdException expected) {
                // as it must be
            }
        }
        try (var admin = admin()) {
            admin.removeMembersFromConsumerGroup(topic, new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("one")))).all().get();
            admin.deleteConsumerGroups(List.of(topic)).all().get();
        }
    }

    static void adminTopics() throws Exception {
        String topic = "java-admin";
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        var partition = new TopicPartition(topic, 0);
        try (var admin = admin()) {
            var cluster = admin.describeCluster();
            check(cluster.nodes().get().size() == 1 && cluster.controller().get() != null && !cluster.clusterId().get().isEmpty(), "cluster");
            var proposed = new NewTopic(topic, Optional.of(2), Optional.empty()).configs(Map.of("retention.ms", "3600000"));
            admin.createTopics(List.of(proposed), new CreateTopicsOptions().validateOnly(true)).all().get();
            check(!admin.listTopics().names().get().contains(topic), "validated only");
            var created = admin.createTopics(List.of(proposed));
            check(created.numPartitions(topic).get() == 2 && created.config(topic).get().get("retention.ms").value().equals("3600000"), "created");
            expect(TopicExistsException.class, admin.createTopics(List.of(proposed)).all());
            expect(InvalidConfigurationException.class, admin.createTopics(List.of(new NewTopic("java-x", 1, (short) 1).configs(Map.of("no.such", "1")))).all());
            expect(InvalidTopicException.class, admin.createTopics(List.of(new NewTopic("java x", 1, (short) 1))).all());
            expect(UnknownTopicOrPartitionException.class, admin.describeTopics(List.of("java-none")).allTopicNames());
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all().get();
            var described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
            check(described.partitions().size() == 4 && described.topicId().equals(created.topicId(topic).get()), "described " + described);
            check(described.partitions().stream().allMatch(p -> p.leader() != null && p.isr().size() == 1), "leaders " + described);
            check(admin.describeTopics(TopicCollection.ofTopicIds(List.of(described.topicId()))).allTopicIds().get().size() == 1, "by id");
            admin.incrementalAlterConfigs(Map.of(resource, List.of(
                new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.APPEND),
                new AlterConfigOp(new ConfigEntry("retention.ms", ""), AlterConfigOp.OpType.DELETE)))).all().get();
            var configs = admin.describeConfigs(List.of(resource), new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true)).all().get().get(resource);
            var policy = configs.get("cleanup.policy");
            check(policy.value().equals("delete,compact") && policy.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG && policy.type() == ConfigEntry.ConfigType.LIST && !policy.synonyms().isEmpty() && policy.documentation() != null, "config " + policy);
            check(configs.get("retention.ms").value().equals("604800000"), "retention " + configs.get("retention.ms"));
            admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(new ConfigEntry("cleanup.policy", "delete"), AlterConfigOp.OpType.SET)))).all().get();
            try (var producer = producer(Map.of())) {
                for (int i = 0; i < 10; i++) producer.send(new ProducerRecord<>(topic, 0, 1_700_000_000_000L + 1000 * i, null, "v")).get();
            }
            check(offset(admin, partition, OffsetSpec.latest()) == 10, "latest");
            check(offset(admin, partition, OffsetSpec.earliest()) == 0, "earliest");
            check(offset(admin, partition, OffsetSpec.maxTimestamp()) == 9, "maxTimestamp");
            check(offset(admin, partition, OffsetSpec.forTimestamp(1_700_000_003_500L)) == 4, "forTimestamp");
            check(offset(admin, partition, OffsetSpec.earliestLocal()) == 0, "earliestLocal");
            offset(admin, partition, OffsetSpec.latestTiered());
            check(admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(6))).lowWatermarks().get(partition).get().lowWatermark() == 6, "deleteRecords");
            check(offset(admin, partition, OffsetSpec.earliest()) == 6, "earliest after deletion");
            var dirs = admin.describeLogDirs(List.of(1)).allDescriptions().get().get(1);
            check(dirs.values().stream().anyMatch(dir -> dir.error() == null && dir.replicaInfos().containsKey(partition)), "log dirs " + dirs);
            check(admin.listPartitionReassignments().reassignments().get().isEmpty(), "reassignments");
            admin.listConfigResources().all().get();
            admin.listClientMetricsResources().all().get();
            var broker = new ConfigResource(ConfigResource.Type.BROKER, "1");
            check(!admin.describeConfigs(List.of(broker)).all().get().get(broker).entries().isEmpty(), "broker configs");
            admin.describeFeatures().featureMetadata().get();
            admin.deleteTopics(TopicCollection.ofTopicIds(List.of(described.topicId()))).all().get();
            check(!admin.listTopics().names().get().contains(topic), "deleted");
        }
    }

    static void adminGroups() throws Exception {
        String topic = "java-admin-groups";
        createTopic(topic, 2);
        var zero = new TopicPartition(topic, 0);
        var one = new TopicPartition(topic, 1);
        try (var admin = admin(); var consumer = consumer(Map.of("group.id", topic, "client.id", "watched"))) {
            consumer.subscribe(List.of(topic));
            while (consumer.assignment().isEmpty()) consumer.poll(Duration.ofMillis(100));
            consumer.commitSync(Map.of(zero, new OffsetAndMetadata(0, "note")));
            var described = admin.describeConsumerGroups(List.of(topic)).all().get().get(topic);
            check(described.groupState() == GroupState.STABLE && described.type() == GroupType.CLASSIC, "group " + described);
            var member = described.members().iterator().next();
            check(member.clientId().equals("watched") && member.assignment().topicPartitions().equals(Set.of(zero, one)), "member " + member);
            check(admin.describeClassicGroups(List.of(topic)).all().get().get(topic).state() == ClassicGroupState.STABLE, "classic");
            check(admin.listGroups().all().get().stream().anyMatch(g -> g.groupId().equals(topic) && g.protocol().equals("consumer")), "listGroups");
            check(admin.listGroups(ListGroupsOptions.forConsumerGroups()).all().get().stream().anyMatch(g -> g.groupId().equals(topic)), "listGroups of consumers");
            expect(GroupNotEmptyException.class, admin.deleteConsumerGroups(List.of(topic)).all());
            expect(GroupSubscribedToTopicException.class, admin.deleteConsumerGroupOffsets(topic, Set.of(zero)).all());
            expect(UnknownMemberIdException.class, admin.alterConsumerGroupOffsets(topic, Map.of(zero, new OffsetAndMetadata(0))).all());
            consumer.unsubscribe();
            consumer.close();
            admin.alterConsumerGroupOffsets(topic, Map.of(zero, new OffsetAndMetadata(5, "set"), one, new OffsetAndMetadata(6))).all().get();
            var offsets = admin.listConsumerGroupOffsets(topic).partitionsToOffsetAndMetadata().get();
            check(offsets.get(zero).offset() == 5 && offsets.get(zero).metadata().equals("set") && offsets.get(one).offset() == 6, "offsets " + offsets);
            admin.deleteConsumerGroupOffsets(topic, Set.of(one)).all().get();
            check(!admin.listConsumerGroupOffsets(topic).partitionsToOffsetAndMetadata().get().containsKey(one), "deleted offset");
            admin.deleteConsumerGroups(List.of(topic)).all().get();
            expect(GroupIdNotFoundException.class, admin.describeConsumerGroups(List.of(topic)).all());
            expect(GroupIdNotFoundException.class, admin.deleteConsumerGroups(List.of(topic)).all());
        }
    }

    /** What is not served is refused at once, with an exception that says so, and the client goes on. */
    static void refusals() throws Exception {
        createTopic("java-refusals", 1);
        try (var admin = admin()) {
            expect(UnsupportedVersionException.class, admin.describeAcls(AclBindingFilter.ANY).values());
            expect(UnsupportedVersionException.class, admin.describeClientQuotas(ClientQuotaFilter.all()).entities());
            expect(UnsupportedVersionException.class, admin.describeMetadataQuorum().quorumInfo());
            expect(UnsupportedVersionException.class, admin.describeUserScramCredentials().all());
            check(admin.listTopics().names().get().contains("java-refusals"), "the client goes on");
        }
    }

    static long offset(Admin admin, TopicPartition partition, OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get().offset();
    }

    static Admin admin() {
        return Admin.create(Map.of("bootstrap.servers", bootstrap, "default.api.timeout.ms", "30000"));
    }

    static KafkaProducer<String, String> producer(Map<String, String> options) {
        var all = new HashMap<String, Object>(options);
        all.put("bootstrap.servers", bootstrap);
        return new KafkaProducer<>(all, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(Map<String, String> options) {
        var all = new HashMap<String, Object>(options);
        all.put("bootstrap.servers", bootstrap);
        all.put("auto.offset.reset", "earliest");
        return new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
    }

    static void createTopic(String topic, int partitions) throws Exception {
        try (var admin = admin()) {
            admin.createTopics(List.of(new NewTopic(topic, Optional.of(partitions), Optional.empty()))).all().get();
        }
    }

    static void produce(String topic, int count, Map<String, String> options) throws Exception {
        try (var producer = producer(options)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 0; i < count; i++) sent.add(producer.send(new ProducerRecord<>(topic, "k" + i % 17, String.format("%s-%06d", topic, i))));
            producer.flush();
            for (var future : sent) future.get();
        }
    }

    static void assign(Consumer<?, ?> consumer, String topic, int partitions) {
        consumer.assign(IntStream.range(0, partitions).mapToObj(p -> new TopicPartition(topic, p)).toList());
    }

    static List<ConsumerRecord<String, String>> poll(Consumer<String, String> consumer, int count) {
        var records = new ArrayList<ConsumerRecord<String, String>>();
        long deadline = System.nanoTime() + 60_000_000_000L;
        while (records.size() < count) {
            check(System.nanoTime() < deadline, records.size() + " of " + count + " records in a minute");
            consumer.poll(Duration.ofMillis(200)).forEach(records::add);
        }
        return records;
    }

    static void expectAll(String topic, List<ConsumerRecord<String, String>> records) {
        var values = records.stream().map(ConsumerRecord::value).sorted().toList();
        var wanted = IntStream.range(0, records.size()).mapToObj(i -> String.format("%s-%06d", topic, i)).toList();
        check(values.equals(wanted), "records differ: " + values);
    }

    static void expect(Class<? extends Exception> error, Future<?> future) throws Exception {
        try {
            check(false, error.getSimpleName() + " was expected, but the answer is " + future.get());
        } catch (ExecutionException e) {
            check(error.isInstance(e.getCause()), error.getSimpleName() + " was expected, but " + e.getCause() + " came");
        }
    }

    static void check(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }
}
