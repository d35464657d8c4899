// Package interop holds what franz-go, a strict client in pure Go, must be able to do with a server that it takes for Kafka.
//
// `make interop` runs it with RAYLOG_BOOTSTRAP set; every test makes its own topic, and no client has a setting that Kafka would not need.
package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const patience = 60 * time.Second

func connect(t *testing.T, options ...kgo.Opt) (context.Context, *kgo.Client) {
	t.Helper()
	bootstrap := os.Getenv("RAYLOG_BOOTSTRAP")
	if bootstrap == "" {
		t.Fatal("RAYLOG_BOOTSTRAP must hold the server's address; `make interop` sets it")
	}
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(bootstrap)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx, client
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func createTopic(t *testing.T, topic string, partitions int32) {
	t.Helper()
	ctx, client := connect(t)
	if _, err := kadm.NewClient(client).CreateTopic(ctx, partitions, -1, nil, topic); err != nil {
		t.Fatal(err)
	}
}

func produce(t *testing.T, topic string, count int, options ...kgo.Opt) {
	t.Helper()
	ctx, client := connect(t, append([]kgo.Opt{kgo.DefaultProduceTopic(topic)}, options...)...)
	records := make([]*kgo.Record, count)
	for i := range records {
		records[i] = &kgo.Record{Key: fmt.Appendf(nil, "k%d", i%17), Value: fmt.Appendf(nil, "%s-%06d", topic, i)}
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// consume polls until count records have come and returns their values, sorted.
func consume(t *testing.T, ctx context.Context, client *kgo.Client, count int) []string {
	t.Helper()
	var values []string
	for len(values) < count {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%d of %d records: %v", len(values), count, err)
		}
		fetches.EachRecord(func(record *kgo.Record) { values = append(values, string(record.Value)) })
	}
	sort.Strings(values)
	return values
}

func expectAll(t *testing.T, topic string, values []string) {
	t.Helper()
	for i, value := range values {
		if want := fmt.Sprintf("%s-%06d", topic, i); value != want {
			t.Fatalf("record %d is %q, not %q", i, value, want)
		}
	}
}

func TestEveryCompressionRoundTrips(t *testing.T) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			topic := "go-codec-" + name
			createTopic(t, topic, 3)
			produce(t, topic, 5000, kgo.ProducerBatchCompression(codec))
			ctx, client := connect(t, kgo.ConsumeTopics(topic))
			expectAll(t, topic, consume(t, ctx, client, 5000))
		})
	}
}

func TestRecordsKeepKeysHeadersNullsAndTimestamps(t *testing.T) {
	createTopic(t, "go-fields", 1)
	ctx, client := connect(t, kgo.ConsumeTopics("go-fields"))
	stamp := time.UnixMilli(1_700_000_000_123)
	sent := []*kgo.Record{
		{Topic: "go-fields", Key: []byte("k"), Value: nil, Timestamp: stamp},
		{Topic: "go-fields", Value: []byte{}, Timestamp: stamp, Headers: []kgo.RecordHeader{{Key: "h", Value: nil}, {Key: "h", Value: []byte("2")}}},
	}
	if err := client.ProduceSync(ctx, sent...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	var got []*kgo.Record
	for len(got) < 2 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		got = append(got, fetches.Records()...)
	}
	if string(got[0].Key) != "k" || got[0].Value != nil || !got[0].Timestamp.Equal(stamp) || got[0].Offset != 0 {
		t.Errorf("first record: %+v", got[0])
	}
	if got[1].Key != nil || got[1].Value == nil || len(got[1].Headers) != 2 || got[1].Headers[0].Value != nil || string(got[1].Headers[1].Value) != "2" {
		t.Errorf("second record: %+v", got[1])
	}
	if got[0].LeaderEpoch < 0 {
		t.Errorf("leader epoch %d", got[0].LeaderEpoch)
	}
}

func TestAutoCreatedTopic(t *testing.T) {
	produce(t, "go-auto-created", 10, kgo.AllowAutoTopicCreation())
	ctx, client := connect(t, kgo.ConsumeTopics("go-auto-created"))
	expectAll(t, "go-auto-created", consume(t, ctx, client, 10))
}

func TestAcksNoneAndLeader(t *testing.T) {
	createTopic(t, "go-acks", 1)
	produce(t, "go-acks", 100, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	ctx, client := connect(t, kgo.ConsumeTopics("go-acks"))
	expectAll(t, "go-acks", consume(t, ctx, client, 100))
	produce(t, "go-acks", 100, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	expectAll(t, "go-acks", consume(t, ctx, client, 100))
}

func TestGroupSharesCommitsAndResumes(t *testing.T) {
	const topic, group = "go-group", "go-group"
	createTopic(t, topic, 6)
	produce(t, topic, 3000)
	// franz-go's default balancer is cooperative-sticky: the second member's coming takes two generations.
	options := []kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	ctx, first := connect(t, options...)
	expectAll(t, topic, consume(t, ctx, first, 3000))
	if err := first.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
	_, second := connect(t, options...)
	admin := kadm.NewClient(first)
	for {
		go second.PollFetches(ctx)
		described := must(admin.DescribeGroups(ctx, group))[group]
		if described.Err != nil {
			t.Fatal(described.Err)
		}
		shares := make([]int, 0, 2)
		for _, member := range described.Members {
			assigned, _ := member.Assigned.AsConsumer()
			for _, topic := range assigned.Topics {
				shares = append(shares, len(topic.Partitions))
			}
		}
		if described.State == "Stable" && len(shares) == 2 && shares[0] == 3 && shares[1] == 3 {
			break
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the group never balanced: %+v", described)
		case <-time.After(100 * time.Millisecond):
		}
	}
	lags := must(admin.Lag(ctx, group))
	if err := lags.Error(); err != nil {
		t.Fatal(err)
	}
	if total := lags[group].Lag.Total(); total != 0 {
		t.Errorf("lag %d after commit", total)
	}
	first.Close()
	second.Close()

	ctx, third := connect(t, options...)
	admin = kadm.NewClient(third)
	ctx2, producer := connect(t)
	if err := producer.ProduceSync(ctx2, &kgo.Record{Topic: topic, Value: []byte(topic + "-000000")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	expectAll(t, topic, consume(t, ctx, third, 1))
	third.Close()
	_, client := connect(t)
	admin = kadm.NewClient(client)
	if deleted, err := admin.DeleteGroups(ctx, group); err != nil || deleted[group].Err != nil {
		t.Errorf("%v %v", err, deleted)
	}
}

func TestStaticMemberKeepsItsPlace(t *testing.T) {
	const topic, group = "go-static", "go-static"
	createTopic(t, topic, 2)
	produce(t, topic, 10)
	options := []kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.InstanceID("one"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	ctx, client := connect(t, options...)
	consume(t, ctx, client, 10)
	if err := client.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
	_, generation := client.GroupMetadata()
	client.Close() // static members do not leave

	ctx, client = connect(t, options...)
	produce(t, topic, 10)
	consume(t, ctx, client, 10)
	if _, again := client.GroupMetadata(); again != generation {
		t.Errorf("generation %d became %d", generation, again)
	}
	admin := kadm.NewClient(client)
	left, err := admin.LeaveGroup(ctx, kadm.LeaveGroup(group).InstanceIDs("one"))
	if err != nil || left.Error() != nil {
		t.Errorf("%v %v", err, left)
	}
}

func TestAdminTopics(t *testing.T) {
	ctx, client := connect(t)
	admin := kadm.NewClient(client)
	retention := "3600000"
	created := must(admin.CreateTopics(ctx, 3, 1, map[string]*string{"retention.ms": &retention}, "go-admin"))
	if topic := created["go-admin"]; topic.Err != nil || topic.NumPartitions != 3 || topic.ID == (kadm.TopicID{}) || len(topic.Configs) == 0 {
		t.Errorf("created: %+v", topic)
	}
	again := must(admin.CreateTopics(ctx, 3, 1, nil, "go-admin"))
	if !errors.Is(again["go-admin"].Err, kerr.TopicAlreadyExists) {
		t.Errorf("created again: %+v", again)
	}
	if err := must(admin.UpdatePartitions(ctx, 5, "go-admin")).Error(); err != nil {
		t.Error(err)
	}
	listed := must(admin.ListTopics(ctx, "go-admin"))
	if topic := listed["go-admin"]; topic.Err != nil || len(topic.Partitions) != 5 {
		t.Errorf("listed: %+v", topic)
	}
	altered := must(admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: kadm.StringPtr("2000000")}}, "go-admin"))
	if altered[0].Err != nil {
		t.Error(altered[0].Err)
	}
	described := must(admin.DescribeTopicConfigs(ctx, "go-admin"))
	values := map[string]string{}
	for _, config := range described[0].Configs {
		values[config.Key] = config.MaybeValue()
	}
	if values["max.message.bytes"] != "2000000" || values["retention.ms"] != retention || values["cleanup.policy"] != "delete" {
		t.Errorf("configs: %v", values)
	}
	if deleted := must(admin.DeleteTopics(ctx, "go-admin")); deleted.Error() != nil {
		t.Error(deleted.Error())
	}
	_, uncached := connect(t)
	if listed := must(kadm.NewClient(uncached).ListTopics(ctx, "go-admin")); listed["go-admin"].Err == nil {
		t.Errorf("deleted, but listed: %+v", listed)
	}
}

func TestAdminOffsetsAndDeletedRecords(t *testing.T) {
	const topic = "go-offsets"
	createTopic(t, topic, 1)
	ctx, client := connect(t)
	for i := range 10 {
		record := &kgo.Record{Topic: topic, Value: []byte{byte(i)}, Timestamp: time.UnixMilli(int64(1_700_000_000_000 + 1000*i))}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	admin := kadm.NewClient(client)
	offset := func(listed kadm.ListedOffsets, err error) int64 {
		if err != nil {
			t.Fatal(err)
		}
		if err := listed.Error(); err != nil {
			t.Fatal(err)
		}
		return listed[topic][0].Offset
	}
	if at := offset(admin.ListOffsetsAfterMilli(ctx, 1_700_000_003_500, topic)); at != 4 {
		t.Errorf("after time: %d", at)
	}
	if at := offset(admin.ListMaxTimestampOffsets(ctx, topic)); at != 9 {
		t.Errorf("max timestamp: %d", at)
	}
	if at := offset(admin.ListCommittedOffsets(ctx, topic)); at != 10 {
		t.Errorf("committed end: %d", at)
	}
	deleted := must(admin.DeleteRecords(ctx, kadm.Offsets{topic: {0: {Topic: topic, Partition: 0, At: 6}}}))
	if err := deleted.Error(); err != nil {
		t.Fatal(err)
	}
	if at := offset(admin.ListStartOffsets(ctx, topic)); at != 6 {
		t.Errorf("start: %d", at)
	}
	if at := offset(admin.ListEndOffsets(ctx, topic)); at != 10 {
		t.Errorf("end: %d", at)
	}
	// A consumer that asks for offset 0 is told OFFSET_OUT_OF_RANGE and goes to the start.
	ctx, consumer := connect(t, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(0)}}))
	if got := consume(t, ctx, consumer, 4); got[0] != "\x06" {
		t.Errorf("first after deletion: %q", got)
	}
}

func TestWhatAUserInterfaceAsks(t *testing.T) {
	const topic, group = "go-ui", "go-ui"
	createTopic(t, topic, 2)
	produce(t, topic, 100)
	ctx, client := connect(t)
	admin := kadm.NewClient(client)
	metadata := must(admin.BrokerMetadata(ctx))
	if metadata.Cluster == "" || metadata.Controller < 0 || len(metadata.Brokers) == 0 {
		t.Errorf("metadata: %+v", metadata)
	}
	versions := must(admin.ApiVersions(ctx))
	versions.Each(func(broker kadm.BrokerApiVersions) {
		if broker.Err != nil {
			t.Error(broker.Err)
		}
		t.Logf("broker %d looks like Kafka %s", broker.NodeID, broker.VersionGuess())
	})
	sizes := must(admin.DescribeAllLogDirs(ctx, nil))
	var size int64
	sizes.Each(func(dir kadm.DescribedLogDir) {
		if dir.Err != nil {
			t.Error(dir.Err)
		}
		dir.Topics.Each(func(partition kadm.DescribedLogDirPartition) {
			if partition.Topic == topic {
				size += partition.Size
			}
		})
	})
	if size == 0 {
		t.Errorf("%s has no size: %+v", topic, sizes)
	}
	if err := admin.CommitAllOffsets(ctx, group, must(admin.ListEndOffsets(ctx, topic)).Offsets()); err != nil {
		t.Error(err)
	}
	groups := must(admin.ListGroups(ctx))
	if listed := groups[group]; listed.State != "Empty" {
		t.Errorf("group: %+v", listed)
	}
	lags := must(admin.Lag(ctx, group))
	if err := lags.Error(); err != nil || lags[group].Lag.Total() != 0 {
		t.Errorf("%v %+v", err, lags)
	}
	brokers := must(admin.DescribeBrokerConfigs(ctx, metadata.Controller))
	if len(brokers) != 1 || brokers[0].Err != nil || len(brokers[0].Configs) == 0 {
		t.Errorf("broker configs: %+v", brokers)
	}
	reassigned := must(admin.ListPartitionReassignments(ctx, nil))
	if len(reassigned) != 0 {
		t.Errorf("%v", reassigned)
	}
	request := kmsg.NewPtrDescribeClusterRequest()
	cluster := must(request.RequestWith(ctx, client))
	if cluster.ErrorCode != 0 || len(cluster.Brokers) != len(metadata.Brokers) {
		t.Errorf("%+v", cluster)
	}
}
