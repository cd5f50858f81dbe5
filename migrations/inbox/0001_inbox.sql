create schema inbox;
comment on schema inbox is 'Which messages a consumer has handled, in one transaction with what it did.';

create table inbox.messages (
    consumer        text        not null,
    message_id      uuid        not null,
    state           text        not null,
    attempts        integer     not null default 0,
    next_attempt_at timestamptz,
    topic           text        not null,
    partition       integer     not null,
    "offset"        bigint      not null,
    last_error      text,
    payload         bytea,
    headers         jsonb,
    key             bytea,
    created_at      timestamptz,
    first_seen_at   timestamptz not null default now(),
    completed_at    timestamptz,
    resolved_by     text,
    constraint messages_pkey primary key (consumer, message_id),
    constraint messages_state_check check (state in ('PROCESSING', 'COMPLETED', 'FAILED', 'DEAD')),
    constraint messages_next_attempt_check check (state not in ('PROCESSING', 'FAILED') or next_attempt_at is not null)
) partition by range (message_id);
create index messages_due_idx on inbox.messages (consumer, next_attempt_at) where state in ('PROCESSING', 'FAILED');
create index messages_key_idx on inbox.messages (consumer, topic, key) where state in ('PROCESSING', 'FAILED');
create index messages_dead_idx on inbox.messages (consumer, first_seen_at) where state = 'DEAD';
comment on table inbox.messages is 'One row for each message that a consumer has handled, or could not.';
comment on column inbox.messages.consumer is 'Name of the inbox.';
comment on column inbox.messages.message_id is 'Event id: the header id of the record.';
comment on column inbox.messages.state is 'COMPLETED: its effect is committed. FAILED: to be tried again, or waits behind another of its key. DEAD: given up. PROCESSING: leased.';
comment on column inbox.messages.attempts is 'How often it was begun. 0: it waits behind a failed one of its key.';
comment on column inbox.messages.next_attempt_at is 'FAILED: when it may be tried again. PROCESSING: when its lease ends.';
comment on column inbox.messages.topic is 'Topic of the record.';
comment on column inbox.messages.partition is 'Partition of the record.';
comment on column inbox.messages."offset" is 'Offset of the record.';
comment on column inbox.messages.last_error is 'Words of the last error.';
comment on column inbox.messages.payload is 'Value of the record, until it is completed. Null: a tombstone.';
comment on column inbox.messages.headers is 'Headers of the record, until it is completed: an array of pairs of name and value.';
comment on column inbox.messages.key is 'Key of the record, until it is completed.';
comment on column inbox.messages.created_at is 'Timestamp of the record, until it is completed.';
comment on column inbox.messages.first_seen_at is 'When the row was written first. Messages of one key are tried again in this order.';
comment on column inbox.messages.completed_at is 'When its effect was committed, or an operator discarded it.';
comment on column inbox.messages.resolved_by is 'The operator who retried or discarded it.';
comment on constraint messages_pkey on inbox.messages is 'A consumer handles a message once.';
comment on constraint messages_state_check on inbox.messages is 'There are four states.';
comment on constraint messages_next_attempt_check on inbox.messages is 'What is to be tried again has a time for it.';
comment on index inbox.messages_due_idx is 'What is to be tried again.';
comment on index inbox.messages_key_idx is 'What a key waits for.';
comment on index inbox.messages_dead_idx is 'What an operator looks for.';

-- Ids that begin with a time (UUIDv7) lie close together, and a day of them is emptied as a whole.
-- A second level, because a new leaf scans the default partition beside it: this one has next to
-- nothing in it, however many random ids there are.
create table inbox.messages_timed partition of inbox.messages
    for values from ('01800000-0000-0000-0000-000000000000') to ('02000000-0000-0000-0000-000000000000')
    partition by range (message_id);
comment on table inbox.messages_timed is 'Messages whose id begins with a time from 2022 to 2039: one leaf for each day.';
create table inbox.messages_timed_rest partition of inbox.messages_timed default;
create index messages_timed_rest_seen_idx on inbox.messages_timed_rest (first_seen_at);
comment on table inbox.messages_timed_rest is 'Messages of days that have no leaf.';
comment on index inbox.messages_timed_rest_seen_idx is 'What purge looks for.';
create table inbox.messages_other partition of inbox.messages default;
create index messages_other_seen_idx on inbox.messages_other (first_seen_at);
comment on table inbox.messages_other is 'Messages whose id does not begin with a time.';
comment on index inbox.messages_other_seen_idx is 'What purge looks for.';

create table inbox.watermarks (
    consumer   text        not null,
    topic      text        not null,
    partition  integer     not null,
    sequence   text        not null collate "C",
    updated_at timestamptz not null default now(),
    constraint watermarks_pkey primary key (consumer, topic, partition)
) with (fillfactor = 50);
comment on table inbox.watermarks is 'How far a consumer is in a partition that one relay writes. One row in place of one for each message.';
comment on column inbox.watermarks.consumer is 'Name of the inbox.';
comment on column inbox.watermarks.topic is 'Topic of the records.';
comment on column inbox.watermarks.partition is 'Partition of the records.';
comment on column inbox.watermarks.sequence is 'Header sequence of the last record that was handled, or written down as failed.';
comment on column inbox.watermarks.updated_at is 'When it last moved.';
comment on constraint watermarks_pkey on inbox.watermarks is 'A partition has one position.';

create function inbox.id_at(moment timestamptz) returns uuid
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$ select rpad(lpad(to_hex(floor(extract(epoch from moment) * 1000)::bigint), 12, '0'), 32, '0')::uuid $$;
comment on function inbox.id_at(timestamptz) is 'The smallest UUIDv7 of a moment.';

create function inbox.add_leaf(day date) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    leaf  constant text := 'messages_' || to_char(day, 'YYYYMMDD');
    lower constant uuid := inbox.id_at(day::timestamp at time zone 'UTC');
    upper constant uuid := inbox.id_at((day + 1)::timestamp at time zone 'UTC');
begin
    if to_regclass(format('inbox.%I', leaf)) is not null then
        return false;
    end if;
    -- Attached, not created as a partition: that would lock the parent against everything.
    execute format('create table inbox.%I (like inbox.messages including defaults including constraints including comments)', leaf);
    execute format('comment on table inbox.%I is %L', leaf, format('Messages whose id begins with the day %s, UTC.', day));
    execute format('alter table inbox.messages_timed attach partition inbox.%I for values from (%L) to (%L)', leaf, lower, upper);
    return true;
exception
    -- Ids of that day are in the rest already, or somebody holds a lock: the rest takes them.
    when check_violation or lock_not_available then
        return false;
end $$;
comment on function inbox.add_leaf(date) is 'Makes the leaf of a day (UTC). False: it was there, or could not be had without waiting.';

create function inbox.maintain(days_ahead integer default 3) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    today constant date := (clock_timestamp() at time zone 'UTC')::date;
    made  integer := 0;
begin
    if days_ahead is null or days_ahead not between 0 and 100 then
        raise exception 'days_ahead is %, not from 0 to 100', days_ahead using errcode = 'invalid_parameter_value';
    end if;
    if not pg_try_advisory_xact_lock(hashtext('inbox.maintain')) then
        return 0;
    end if;
    for ahead in 0 .. days_ahead loop
        made := made + inbox.add_leaf(today + ahead)::integer;
    end loop;
    return made;
end $$;
comment on function inbox.maintain(integer) is 'Makes the leaves of today and of the days after it. Consumers call it from time to time.';

create function inbox.empty_leaf(leaf text, cutoff timestamptz, unresolved boolean) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    look constant text := format('select count(*) filter (where first_seen_at >= $1), count(*) filter (where state <> ''COMPLETED'') from inbox.%I', leaf);
    fresh   bigint;
    pending bigint;
    kept    inbox.messages[];
begin
    execute look into fresh, pending using cutoff;
    if fresh > 0 or (pending > 1000 and not unresolved) then
        return false;
    end if;
    -- Looked at again under the lock: a late message of that day may have come meanwhile.
    execute format('lock table inbox.%I in access exclusive mode', leaf);
    execute look into fresh, pending using cutoff;
    if fresh > 0 or (pending > 1000 and not unresolved) then
        return false;
    end if;
    if pending > 0 and not unresolved then
        execute format('select array_agg(m::inbox.messages) from inbox.messages m where tableoid = %L::regclass and state <> ''COMPLETED''', format('inbox.%I', leaf)) into kept;
    end if;
    execute format('truncate table inbox.%I', leaf);
    insert into inbox.messages select (unnest(kept)).*;
    return kept is null;
exception
    when lock_not_available then
        return false;
end $$;
comment on function inbox.empty_leaf(text, timestamptz, boolean) is 'Truncates a leaf in which nothing is newer than that; what is not completed is put back. True: nothing is left in it.';

create function inbox.purge_rows(cutoff timestamptz, unresolved boolean) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    others bigint;
    rest   bigint;
begin
    delete from inbox.messages_other where ctid = any (array(
        select ctid from inbox.messages_other
         where first_seen_at < cutoff and (unresolved or state = 'COMPLETED') order by first_seen_at limit 10000));
    get diagnostics others = row_count;
    delete from inbox.messages_timed_rest where ctid = any (array(
        select ctid from inbox.messages_timed_rest
         where first_seen_at < cutoff and (unresolved or state = 'COMPLETED') order by first_seen_at limit 10000));
    get diagnostics rest = row_count;
    return others + rest;
end $$;
comment on function inbox.purge_rows(timestamptz, boolean) is 'Deletes old messages that lie in no leaf of a day, 10000 of each kind at most.';

create function inbox.purge_everything(older_than interval, unresolved boolean,
                                       out leaves_emptied integer, out leaves_dropped integer, out rows_deleted bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    cutoff constant timestamptz := clock_timestamp() - older_than;
    leaf   text;
    empty  text[] := '{}';
begin
    if older_than is null or older_than < interval '1 day' then
        raise exception 'older_than is %, less than a day', older_than
            using errcode = 'invalid_parameter_value',
                  detail = 'A message that is delivered again after it was purged is handled twice.',
                  hint = 'Keep messages for longer than the topics keep theirs, or than a consumer may be away.';
    end if;
    leaves_emptied := 0;
    leaves_dropped := 0;
    for leaf in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
         where i.inhparent = 'inbox.messages_timed'::regclass and c.relname ~ '^messages_[0-9]{8}$'
           and (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp at time zone 'UTC' <= cutoff
         order by c.relname
    loop
        if inbox.empty_leaf(leaf, cutoff, unresolved) then
            leaves_emptied := leaves_emptied + 1;
            empty := empty || leaf;
        end if;
    end loop;
    rows_deleted := inbox.purge_rows(cutoff, unresolved);
    -- Last, because the parent stays locked to the end; and never queued for, because whoever
    -- inserts would queue behind. An empty leaf that stays does no harm.
    if cardinality(empty) > 0 then
        begin
            lock table inbox.messages, inbox.messages_timed in access exclusive mode nowait;
            foreach leaf in array empty loop
                execute format('drop table inbox.%I', leaf);
                leaves_dropped := leaves_dropped + 1;
            end loop;
        exception
            when lock_not_available then
                leaves_dropped := 0;
        end;
    end if;
end $$;
comment on function inbox.purge_everything(interval, boolean) is 'What purge and purge_unresolved share.';

create function inbox.purge(older_than interval,
                            out leaves_emptied integer, out leaves_dropped integer, out rows_deleted bigint)
language sql security definer
set search_path = pg_catalog, pg_temp
as $$ select * from inbox.purge_everything(older_than, false) $$;
comment on function inbox.purge(interval) is 'Forgets completed messages that are older; a day at least. What failed or is dead stays.';

create function inbox.purge_unresolved(older_than interval,
                                       out leaves_emptied integer, out leaves_dropped integer, out rows_deleted bigint)
language sql security definer
set search_path = pg_catalog, pg_temp
as $$ select * from inbox.purge_everything(older_than, true) $$;
comment on function inbox.purge_unresolved(interval) is 'Forgets all messages that are older, those that failed or are dead as well.';

revoke execute on all functions in schema inbox from public;
select inbox.maintain();
