// Writes the golden files of `__consumer_offsets` with Kafka's own classes; by hand, when a version is added:
//   java -cp '<folder of a Kafka's jars>/*' tests/golden/KafkaRecords.java <folder to write to>
// The values are those of `tests/golden/kafka.py`.

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.coordinator.group.generated.GroupMetadataKey;
import org.apache.kafka.coordinator.group.generated.GroupMetadataValue;
import org.apache.kafka.coordinator.group.generated.GroupMetadataValue.MemberMetadata;
import org.apache.kafka.coordinator.group.generated.OffsetCommitKey;
import org.apache.kafka.coordinator.group.generated.OffsetCommitValue;

public class KafkaRecords {
    private static Path folder;

    public static void main(String[] args) throws IOException {
        folder = Path.of(args[0]);
        write("offset-commit-key-v1", MessageUtil.toCoordinatorTypePrefixedBytes(
            new OffsetCommitKey().setGroup("gruppe-ä").setTopic("orders").setPartition(7)));
        write("group-metadata-key-v2", MessageUtil.toCoordinatorTypePrefixedBytes(new GroupMetadataKey().setGroup("gruppe-ä")));
        for (short version = 0; version <= 4; version++) {
            write("offset-commit-value-v" + version, MessageUtil.toVersionPrefixedBytes(version, offset(version)));
            write("group-metadata-value-v" + version, MessageUtil.toVersionPrefixedBytes(version, group(version)));
        }
    }

    private static OffsetCommitValue offset(short version) {
        OffsetCommitValue value = new OffsetCommitValue().setOffset(1L << 40).setMetadata("métadonnées").setCommitTimestamp(1_700_000_000_000L);
        if (version == 1) value.setExpireTimestamp(1_700_000_600_000L);
        if (version >= 3) value.setLeaderEpoch(12);
        if (version >= 4) value.setTopicId(new Uuid(0x0123456789ab4defL, 0x8123456789abcdefL));
        return value;
    }

    private static GroupMetadataValue group(short version) {
        MemberMetadata first = new MemberMetadata().setMemberId("member-1").setClientId("client").setClientHost("/10.0.0.1")
            .setSessionTimeout(45_000).setSubscription(new byte[] {0, 1, 2}).setAssignment(new byte[] {3, 4});
        MemberMetadata second = first.duplicate().setMemberId("member-2").setAssignment(new byte[0]);
        if (version >= 1) {
            first.setRebalanceTimeout(300_000);
            second.setRebalanceTimeout(300_000);
        }
        if (version >= 3) first.setGroupInstanceId("instance-1");
        GroupMetadataValue value = new GroupMetadataValue().setProtocolType("consumer").setGeneration(3).setProtocol("range")
            .setLeader("member-1").setMembers(List.of(first, second));
        if (version >= 2) value.setCurrentStateTimestamp(1_700_000_000_001L);
        return value;
    }

    private static void write(String name, byte[] content) throws IOException {
        Files.write(folder.resolve(name + ".bin"), content);
    }
}
