package shop;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;
import java.util.UUID;
import org.hibernate.annotations.ColumnTransformer;
import org.hibernate.annotations.Immutable;
import org.hibernate.annotations.UuidGenerator;
import org.hibernate.annotations.UuidGenerator.Style;

/** A row of the outbox. It is inserted and never changed, so no column but these is mapped. */
@Entity
@Immutable
@Table(schema = "outbox", name = "events")
public class OutboxEvent {
    /** Ids that rise with time keep the table's index small. */
    @Id
    @UuidGenerator(style = Style.VERSION_7)
    UUID id;

    @Column(name = "aggregatetype")
    String aggregateType;

    @Column(name = "aggregateid")
    String aggregateId;

    String type;

    /** JSON text as it is: the relay sends what Postgres prints. */
    @ColumnTransformer(write = "?::jsonb")
    String payload;

    protected OutboxEvent() {}

    OutboxEvent(String aggregateType, String aggregateId, String type, String payload) {
        this.aggregateType = aggregateType;
        this.aggregateId = aggregateId;
        this.type = type;
        this.payload = payload;
    }
}
