create table outbox.rotation (
    leaf      smallint not null,
    relation  regclass not null,
    opened_at timestamptz,
    closed_at timestamptz,
    sealed_at pg_lsn,
    constraint rotation_pkey primary key (leaf)
);
comment on table outbox.rotation is 'What outbox.rotate() knows of each leaf of outbox.events.';
comment on column outbox.rotation.leaf is 'Number of the leaf.';
comment on column outbox.rotation.relation is 'The leaf itself.';
comment on column outbox.rotation.opened_at is 'Since when it takes or took rows. Null: it is empty.';
comment on column outbox.rotation.closed_at is 'Since when it takes no more.';
comment on column outbox.rotation.sealed_at is 'A position in the log that lies past all its rows.';
comment on constraint rotation_pkey on outbox.rotation is 'A leaf is known once.';
insert into outbox.rotation (leaf, relation, opened_at)
select number, format('outbox.events_%s', number)::regclass, case when number = 1 then now() end
  from generate_series(1, 8) as number;

create function outbox.empty_leaf(number smallint, force boolean, out action text, out leaf text, out reason text)
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '50ms'
as $$
declare
    place  regclass;
    past   pg_lsn;
    slots  bigint;
    behind text;
begin
    select rotation.relation, rotation.sealed_at into place, past
      from outbox.rotation as rotation where rotation.leaf = number;
    leaf := place::text;
    select count(*), string_agg(slot.slot_name, ', ' order by slot.slot_name)
                         filter (where (slot.confirmed_flush_lsn >= past) is not true)
      into slots, behind
      from pg_replication_slots as slot
     where slot.database = current_database() and not slot.temporary;
    reason := case
        when force then null
        when slots = 0 then 'no slot has read it'
        when past is null then 'it was closed a moment ago, or somebody still writes to it'
        when behind is not null then format('not confirmed up to %s: %s', past, behind)
    end;
    if reason is not null then
        action := 'kept';
        return;
    end if;
    execute format('truncate %s', place);
    update outbox.rotation as rotation
       set opened_at = null, closed_at = null, sealed_at = null
     where rotation.leaf = number;
    action := 'truncated';
    reason := case when force then 'forced' else 'confirmed' end;
exception when lock_not_available then
    action := 'busy';
    reason := 'somebody reads or writes it';
end
$$;
revoke all on function outbox.empty_leaf(smallint, boolean) from public;
comment on function outbox.empty_leaf(smallint, boolean) is 'Truncates a leaf whose rows every slot of this database has confirmed; when forced, any. A part of outbox.rotate().';

-- Two steps, so that nobody waits: rows go on to a leaf that an earlier transaction has emptied,
-- and the leaf behind that one, which takes no rows yet, is emptied for the next time.
-- A lock is waited for 50 ms at most, since others queue behind whoever waits.
create function outbox.rotate(force boolean default false, every interval default '0')
    returns table (action text, leaf text, reason text)
    language plpgsql volatile security definer
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '50ms'
as $$
#variable_conflict use_column
declare
    leaves constant smallint := 8;
    here   smallint;
    ahead  outbox.rotation;
    since  timestamptz;
begin
    begin
        lock table outbox.rotation in share row exclusive mode nowait;
    exception when lock_not_available then
        return query select 'busy', 'outbox.events', 'another rotation is at work';
        return;
    end;
    select sequence.last_value into here from outbox.current_leaf as sequence;
    -- A leaf is closed for one rotation before it is sealed: whoever was about to write to it when
    -- it was closed has done so by then, and holds a lock until the end of the transaction.
    update outbox.rotation as rotation
       set sealed_at = pg_current_wal_insert_lsn()
     where rotation.closed_at is not null and rotation.sealed_at is null
       and not exists (
           select from pg_locks as held
            where held.relation = rotation.relation and held.mode = 'RowExclusiveLock'
              and held.database = (select oid from pg_database where datname = current_database())
       );
    -- A sequence is not taken back with a transaction, and what is written beside it is.
    update outbox.rotation as rotation
       set opened_at = coalesce(rotation.opened_at, clock_timestamp()), closed_at = null, sealed_at = null
     where rotation.leaf = here;
    update outbox.rotation as rotation set closed_at = clock_timestamp()
     where rotation.leaf <> here and rotation.opened_at is not null and rotation.closed_at is null;

    select rotation.opened_at into since from outbox.rotation as rotation where rotation.leaf = here;
    select rotation.* into ahead from outbox.rotation as rotation where rotation.leaf = here % leaves + 1;
    if pg_relation_size(ahead.relation) > 0 then
        return query select emptied.* from outbox.empty_leaf(ahead.leaf, force) as emptied;
    elsif exists (
        select from pg_locks as held
         where held.pid = pg_backend_pid() and held.relation = ahead.relation
           and held.mode = 'AccessExclusiveLock'
    ) then
        return query select 'busy', ahead.relation::text, 'it was emptied in this transaction, which has to end first';
    elsif clock_timestamp() - since < every then
        return query select 'waited', ahead.relation::text, format('the present leaf was opened at %s', since);
    else
        perform setval('outbox.current_leaf', ahead.leaf);
        update outbox.rotation as rotation set opened_at = clock_timestamp(), closed_at = null, sealed_at = null
         where rotation.leaf = ahead.leaf;
        update outbox.rotation as rotation set closed_at = clock_timestamp() where rotation.leaf = here;
        return query select 'opened', ahead.relation::text, 'rows go there from now on';
        select rotation.* into ahead from outbox.rotation as rotation where rotation.leaf = ahead.leaf % leaves + 1;
        if pg_relation_size(ahead.relation) > 0 then
            return query select emptied.* from outbox.empty_leaf(ahead.leaf, force) as emptied;
        end if;
    end if;
end
$$;
revoke all on function outbox.rotate(boolean, interval) from public;
comment on function outbox.rotate(boolean, interval) is 'Lets new rows go to the next leaf, and truncates the oldest one. Says of each leaf what was done and why: opened, truncated, kept, busy or waited. Has to be called again and again, by outboxd (retention.rotate_every) or by pg_cron.';
