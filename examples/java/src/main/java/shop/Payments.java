package shop;

import com.fasterxml.jackson.databind.ObjectMapper;
import jakarta.persistence.EntityManager;
import jakarta.persistence.EntityManagerFactory;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.hibernate.exception.JDBCConnectionException;
import org.hibernate.exception.LockAcquisitionException;

/** The payment service: pays for each order once, however often it hears of it. */
final class Payments {
    private static final String TOPIC = "outbox.event.order";
    private static final int LIMIT = 100_000;

    private final EntityManagerFactory database;
    private final String consumer;
    private final Inbox inbox;
    private final ObjectMapper json = new ObjectMapper();

    Payments(EntityManagerFactory database, String consumer) {
        this.database = database;
        this.consumer = consumer;
        this.inbox = new Inbox(database, consumer);
    }

    void run(String brokers, int count) throws InterruptedException {
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", brokers,
                "group.id", consumer,
                "auto.offset.reset", "earliest",
                // An offset is committed after the database has committed, never by a timer.
                "enable.auto.commit", false,
                "max.poll.records", 1);
        ByteArrayDeserializer bytes = new ByteArrayDeserializer();
        try (KafkaConsumer<byte[], byte[]> kafka = new KafkaConsumer<>(settings, bytes, bytes)) {
            kafka.subscribe(List.of(TOPIC));
            while (count > 0) {
                for (ConsumerRecord<byte[], byte[]> record : kafka.poll(Duration.ofSeconds(1))) {
                    finish(record);
                    TopicPartition partition = new TopicPartition(record.topic(), record.partition());
                    kafka.commitSync(Map.of(partition, new OffsetAndMetadata(record.offset() + 1)));
                    count--;
                }
            }
        }
    }

    /**
     * Tries until the message is done with, so that nothing behind it overtakes it. A wait as long as
     * max.poll.interval.ms would cost the partition: pause it then, and poll on.
     */
    private void finish(ConsumerRecord<byte[], byte[]> record) throws InterruptedException {
        Duration wait = handle(record);
        while (wait != null) {
            Thread.sleep(Math.max(0, wait.toMillis()));
            wait = handle(record);
        }
    }

    /** Handles a message once. Null: done with; else how long to wait before the next try. */
    private Duration handle(ConsumerRecord<byte[], byte[]> record) {
        UUID eventId = eventId(record);
        try {
            boolean isNew = database.callInTransaction(entities -> {
                boolean claimed = inbox.claim(entities, eventId, record);
                if (claimed) {
                    pay(entities, read(record.value()));
                }
                return claimed;
            });
            System.out.println((isNew ? "paid " : "duplicate ") + eventId);
            return null;
        } catch (JDBCConnectionException | LockAcquisitionException error) {
            // The database is away, or wants the transaction again: not the message's fault.
            throw error;
        } catch (RuntimeException error) {
            return inbox.fail(eventId, record, error);
        }
    }

    private void pay(EntityManager entities, OrderPlaced order) {
        entities.persist(new Payment(consumer, order.order(), order.amount()));
        if (order.amount() > LIMIT) {
            throw new IllegalStateException("the card's limit is exceeded");
        }
    }

    private OrderPlaced read(byte[] payload) {
        try {
            return json.readValue(payload, OrderPlaced.class);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static UUID eventId(ConsumerRecord<byte[], byte[]> record) {
        return UUID.fromString(new String(record.headers().lastHeader("id").value(), StandardCharsets.UTF_8));
    }
}
