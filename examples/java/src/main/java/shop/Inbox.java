package shop;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import jakarta.persistence.EntityManager;
import jakarta.persistence.EntityManagerFactory;
import jakarta.persistence.Query;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;

/** Which messages were handled, in SQL: an entity would be read before it is written. */
final class Inbox {
    private final EntityManagerFactory database;
    private final String consumer;
    private final ObjectMapper json = new ObjectMapper();

    Inbox(EntityManagerFactory database, String consumer) {
        this.database = database;
        this.consumer = consumer;
    }

    /** True: not handled before, or failed; the row commits together with the effect. */
    boolean claim(EntityManager entities, UUID eventId, ConsumerRecord<byte[], byte[]> record) {
        return bind(entities.createNativeQuery(CLAIM), eventId, record).executeUpdate() == 1;
    }

    /** Writes the failure down, after the rollback and in a transaction of its own. */
    Duration fail(UUID eventId, ConsumerRecord<byte[], byte[]> record, RuntimeException error) {
        List<?> rows = database.callInTransaction(entities ->
                bind(entities.createNativeQuery(FAIL, Object[].class), eventId, record)
                        .setParameter("error", error.getMessage())
                        .setParameter("key", record.key())
                        .setParameter("payload", record.value())
                        .setParameter("headers", headers(record))
                        .getResultList());
        if (rows.isEmpty()) { // Another instance has handled it meanwhile.
            return null;
        }
        Object[] row = (Object[]) rows.get(0);
        String state = (String) row[0];
        System.out.println(state.toLowerCase() + " " + eventId + " after " + row[1]);
        return state.equals("DEAD") ? null : Duration.between(Instant.now(), (Instant) row[2]);
    }

    private Query bind(Query query, UUID eventId, ConsumerRecord<byte[], byte[]> record) {
        return query.setParameter("consumer", consumer)
                .setParameter("id", eventId)
                .setParameter("topic", record.topic())
                .setParameter("partition", record.partition())
                .setParameter("offset", record.offset());
    }

    private String headers(ConsumerRecord<byte[], byte[]> record) {
        List<List<String>> pairs = new ArrayList<>();
        for (Header header : record.headers()) {
            pairs.add(List.of(header.key(), new String(header.value(), StandardCharsets.UTF_8)));
        }
        try {
            return json.writeValueAsString(pairs);
        } catch (JsonProcessingException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    // Both statements are those of docs/sql.md, with less patience: three attempts.
    private static final String CLAIM = """
            insert into inbox.messages as m (consumer, message_id, state, attempts, topic, partition, "offset", completed_at)
            values (:consumer, :id, 'COMPLETED', 1, :topic, :partition, :offset, now())
            on conflict (consumer, message_id) do update
               set state = 'COMPLETED', attempts = m.attempts + 1, completed_at = now(), next_attempt_at = null,
                   key = null, payload = null, headers = null
             where m.state = 'FAILED'
            """;
    private static final String FAIL = """
            insert into inbox.messages as m (consumer, message_id, state, attempts, next_attempt_at, topic, partition, "offset",
                                             last_error, key, payload, headers)
            values (:consumer, :id, 'FAILED', 1, now() + interval '200 ms', :topic, :partition, :offset,
                    :error, :key, :payload, cast(:headers as jsonb))
            on conflict (consumer, message_id) do update
               set attempts = m.attempts + 1, last_error = excluded.last_error,
                   state = case when m.attempts + 1 < 3 then 'FAILED' else 'DEAD' end,
                   next_attempt_at = case when m.attempts + 1 < 3 then now() + interval '200 ms' * 2 ^ m.attempts end
             where m.state = 'FAILED'
            returning state, attempts, next_attempt_at
            """;
}
